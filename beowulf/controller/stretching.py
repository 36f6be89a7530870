"""Gangs over several sites: they start when the way between their sites is open and fast enough, and end with it."""

from __future__ import annotations

from dataclasses import replace

from beowulf import scheduler
from beowulf.controller import gang
from beowulf.controller.draft import Draft, WayBroken, WaysOpened
from beowulf.controller.verdict import Verdict
from beowulf.model import event as ev
from beowulf.model.job import Attempt, Job, JobState, Result
from beowulf.model.node import LineSpeed, NodeId


def on_opened(draft: Draft, item: WaysOpened) -> None:
    found = draft.current(item.tag)
    if found is None or found[0].state is not JobState.CONFIGURING or found[1].launched_at:
        return
    job, attempt = found
    if item.error or item.line is None:
        _give_up(draft, job, f"its sites do not reach each other: {item.error}")
        return
    _note(draft, item.node, item.line)
    slow = scheduler.too_slow(draft.snapshot, job, item.line, draft.policy.rules)
    if slow:
        _give_up(draft, job, f"it {slow}")
        return
    gathering = draft.volatile.gathering(item.tag)
    gathering.passages = item.ports
    gang.launch_gang(draft, job, tuple(gathering.prepared[node] for node in attempt.allocation.nodes))


def _give_up(draft: Draft, job: Job, sentence: str) -> None:
    """It is queued again, and not stretched again: that was our idea, and counts as no failure of the job's."""
    gang.end(draft, job, Verdict(Result.RESIZED, f"not stretched over two sites: {sentence}"))


def _note(draft: Draft, node_id: NodeId, line: LineSpeed) -> None:
    node = draft.snapshot.nodes.get(node_id)
    if node is not None:
        others = tuple(one for one in node.profile.links if one.peer != line.peer)
        links = tuple(sorted((*others, line), key=lambda one: one.peer))
        draft.record(ev.NodeProfiled(draft.now, node_id, replace(node.profile, links=links)))


def on_broken(draft: Draft, item: WayBroken) -> None:
    found = draft.current(item.tag)
    if found is not None and found[1].ending is None:
        gang.end(draft, found[0], Verdict(Result.NODE_FAIL, item.why))


def after_restart(draft: Draft) -> None:
    """The head that carried their words is gone, and its connections with it."""
    for job_id in draft.snapshot.active:
        job = draft.snapshot.jobs[job_id]
        attempt = job.attempt
        if attempt is not None and attempt.launched_at and attempt.ending is None and _spans_sites(draft, attempt):
            why = "the head was away, through which its sites reach each other"
            gang.end(draft, job, Verdict(Result.NODE_FAIL, why))


def _spans_sites(draft: Draft, attempt: Attempt) -> bool:
    nodes = draft.snapshot.nodes
    return len({nodes[name].site for name in attempt.allocation.nodes if name in nodes}) > 1
