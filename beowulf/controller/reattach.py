"""A node is linked (again): bring what it says of its attempts and what the store says of them together.

Three cases for an attempt the node knows: it is ours and current (go on from where it stands), it is old (end it, then
forget it), or we never heard of it (likewise). And for one we hold there that the node does not know: it never began
(ask again), or it is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beowulf.controller import closing, gang
from beowulf.controller.draft import Draft
from beowulf.controller.verdict import Verdict
from beowulf.model import event as ev
from beowulf.model.job import Attempt, Job, JobState, Result, ShareState, split_tag
from beowulf.model.node import NodeId


def reattach(draft: Draft, node: NodeId, attempts: list[Mapping[str, Any]]) -> None:
    known = {str(entry["attempt"]): entry for entry in attempts}
    for tag, entry in known.items():
        found = draft.current(tag)
        if found is None or found[1].shares.get(node) in (None, ShareState.CLEARED):
            _dismiss(draft, node, tag, entry)
        else:
            _resume(draft, node, found[0], entry)
    for tag in list(draft.snapshot.held.get(node, {})):
        if tag not in known:
            _absent(draft, node, tag)
    for tag, due in list(draft.volatile.logs_due.items()):
        if tag not in known and due.pop(node, None) is not None and draft.current(tag) is not None:
            closing.finish_if_clear(draft, split_tag(tag)[0])


def await_logs(draft: Draft) -> None:
    """A head that has just started does not know which logs are whole: a node that was cleared has to say so again."""
    for job_id in draft.snapshot.active:
        job = draft.snapshot.jobs[job_id]
        shares = job.attempt.shares if job.attempt else {}
        cleared = {node: draft.now for node, state in shares.items() if state is ShareState.CLEARED}
        if cleared:
            draft.volatile.logs_due[job.tag] = cleared


def _dismiss(draft: Draft, node: NodeId, tag: str, entry: Mapping[str, Any]) -> None:
    """Nobody waits for this attempt on this node any more, except perhaps for the rest of its log."""
    if entry["phase"] != "cleared":
        draft.send(node, "kill", tag, grace_s=5.0)
    elif draft.current(tag) is not None:  # its share is cleared but the job has not ended: the log may not be in
        draft.follow(node, tag, again=True)
        closing.expect_logs(draft, node, tag, entry.get("spool") or {})
        closing.finish_if_clear(draft, split_tag(tag)[0])
    else:
        job_id, number = split_tag(tag)
        draft.record(ev.ShareCleared(draft.now, job_id, number, node))
        draft.send(node, "forget", tag)


def _resume(draft: Draft, node: NodeId, job: Job, entry: Mapping[str, Any]) -> None:
    phase = entry["phase"]
    attempt = job.attempt
    assert attempt is not None
    if phase in ("running", "ending", "cleared"):
        draft.follow(node, job.tag, again=True)
    if phase == "cleared":
        record = entry.get("exit") or {"reason": "its keeper left no exit record"}
        gang.on_cleared(draft, node, {**record, "attempt": job.tag, "spool": entry.get("spool") or {}})
    elif attempt.ending is not None:
        draft.send(node, "kill", job.tag, grace_s=job.spec.kill_grace_s)
    elif phase == "running":
        gang.on_running(draft, node, job.tag)
    elif phase == "holding":
        gang.on_ready(draft, node, job.tag)
    elif phase == "prepared":
        _again(draft, node, job, attempt)


def _absent(draft: Draft, node: NodeId, tag: str) -> None:
    """We hold a share the node knows nothing of."""
    found = draft.current(tag)
    job_id, number = split_tag(tag)
    if found is None:
        draft.record(ev.ShareCleared(draft.now, job_id, number, node, "nothing of it was left"))
        return
    job, attempt = found
    if attempt.ending is not None:
        draft.send(node, "kill", tag, grace_s=job.spec.kill_grace_s)
    elif attempt.shares[node] is ShareState.PLACED:
        _again(draft, node, job, attempt)
    else:
        draft.record(ev.ShareCleared(draft.now, job_id, number, node, "the node lost it"))
        gang.end(draft, job, Verdict(Result.NODE_FAIL, f"{node} was restarted and lost its ranks"))


def _again(draft: Draft, node: NodeId, job: Job, attempt: Attempt) -> None:
    if job.state is not JobState.CONFIGURING:
        return
    if attempt.launched_at:
        gang.start(draft, job, (node,))
    else:
        gang.prepare(draft, job, node)
