"""Checkpoints come home: at the end of an attempt from every node that is left, while it runs from who made one.

The head keeps the newest of each job; the job's next attempt finds it in its place on every node.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from beowulf.controller.draft import Checkpointed, CollectCheckpoint, Draft, DropCheckpoint
from beowulf.model import event as ev
from beowulf.model.job import Attempt, Checkpoint, Job, JobState, Result, Tree, split_tag
from beowulf.model.node import NodeId

LAST_TRIES = 3
TRAFFIC_SHARE = 0.1  # of its time, what a running job's nodes spend on sending checkpoints to the head


def after_restart(draft: Draft) -> None:
    """What ranks told an earlier head may not have been fetched by it, and what is needed no more not dropped."""
    for job in draft.snapshot.jobs.values():
        if job.spec.checkpoint is not None and job.result is Result.COMPLETED:
            draft.do(DropCheckpoint(job.id))
    for job_id in draft.snapshot.active:
        job = draft.snapshot.jobs[job_id]
        if job.spec.checkpoint is not None and job.attempt is not None:
            state = draft.volatile.checkpointing(job.tag)
            state.made_on = job.attempt.allocation.nodes[0]
            state.next_at = draft.now + draft.policy.checkpoint_every_s


def on_reports(draft: Draft, node: NodeId, tag: str, lines: Sequence[Mapping[str, Any]]) -> None:
    """A rank says ``{"checkpoint": folder, "step": n}`` of each one it finished."""
    found = draft.current(tag)
    if found is None or found[0].spec.checkpoint is None or node not in found[1].shares:
        return
    if any("checkpoint" in line for line in lines):
        state = draft.volatile.checkpointing(tag)
        state.made_on, state.made_at = node, draft.now
        fetch_if_due(draft, found[0], found[1])


def fetch_if_due(draft: Draft, job: Job, attempt: Attempt) -> None:
    """The newest one of a job that runs, from the node that made it: a job of one node may lose that."""
    state = draft.volatile.checkpointing(job.tag)
    running = job.state is JobState.RUNNING and attempt.ending is None
    if state.made_on and running and not state.going and draft.now >= state.next_at:
        _fetch(draft, job, (state.made_on,), last=False)


def _fetch(draft: Draft, job: Job, nodes: tuple[NodeId, ...], *, last: bool) -> bool:
    here = tuple(node for node in nodes if node in draft.volatile.links)
    if here:
        state = draft.volatile.checkpointing(job.tag)
        state.going, state.began_at = True, draft.now
        newer_than = job.checkpoint.step if job.checkpoint else -1
        draft.do(CollectCheckpoint(job.tag, here, newer_than, last))
    return bool(here)


def due(draft: Draft, job: Job, attempt: Attempt, result: Result) -> bool:
    """Whether the end of an attempt must wait for its last checkpoint; begins to bring it home if nobody has."""
    if job.spec.checkpoint is None or not attempt.started_at or result is Result.COMPLETED or job.cancelled_by:
        return False
    state = draft.volatile.checkpointing(job.tag)
    left = tuple(node for node in attempt.allocation.nodes if not draft.gone(node))
    if state.last_is_in or not left:
        return False
    away = any(node not in draft.volatile.links for node in left)  # for a moment: what it has may be the newest
    resting = state.tries and abs(draft.now - state.began_at) < draft.policy.checkpoint_again_s
    return bool(state.going or away or resting) or _fetch(draft, job, left, last=True)


def on_collected(draft: Draft, item: Checkpointed) -> None:
    """Late ones of an attempt that is over change nothing (invariant I2)."""
    found = draft.current(item.tag)
    if found is None:
        _drop_late(draft, item)
        return
    job, attempt = found
    state = draft.volatile.checkpointing(item.tag)
    failed = item.last and bool(item.error)
    state.going, state.tries = False, state.tries + failed
    state.last_is_in = item.last and not (failed and state.tries < LAST_TRIES)
    if state.made_at <= state.began_at:
        state.made_on = ""
    pause_s = max(draft.policy.checkpoint_every_s, (draft.now - state.began_at) / TRAFFIC_SHARE)
    state.next_at = draft.now + pause_s
    if item.tree is not None and _is_newer(job.checkpoint, item.step, item.tree):
        draft.record(ev.CheckpointKept(draft.now, job.id, attempt.number, item.node, item.step, item.tree))
        if job.checkpoint is not None:
            draft.do(DropCheckpoint(job.id, job.checkpoint.tree.digest))


def _drop_late(draft: Draft, item: Checkpointed) -> None:
    """It was on its way when its job ended: nobody will ever ask for it."""
    job = draft.snapshot.jobs.get(split_tag(item.tag)[0])
    if job is None or job.live:
        return
    if job.result is Result.COMPLETED:
        draft.do(DropCheckpoint(job.id))
    elif item.tree is not None and (job.checkpoint is None or job.checkpoint.tree.digest != item.tree.digest):
        draft.do(DropCheckpoint(job.id, item.tree.digest))


def _is_newer(kept: Checkpoint | None, step: int, tree: Tree) -> bool:
    return kept is None or step > kept.step or (step == 0 and tree.digest != kept.tree.digest)


def made_progress(job: Job, attempt: Attempt) -> bool:
    """Whether an attempt left the job further than it found it."""
    return job.checkpoint is not None and job.checkpoint.step > attempt.from_step
