"""The end of an attempt whose nodes are clear: the rest of its logs, its outputs, its last checkpoint, the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beowulf.controller import checkpoints
from beowulf.controller.draft import Checkpointed, Collect, Draft, DropCheckpoint, Expect, LetGo
from beowulf.controller.verdict import Verdict, final_verdict, judge_exits, try_again
from beowulf.controller.volatile import Late
from beowulf.model import event as ev
from beowulf.model.job import Attempt, Job, JobState, Result, ShareState, split_tag
from beowulf.model.node import NodeId

LAST_PAUSE_S = 300.0  # between two tries to bring outputs home, the longest


def expect_logs(draft: Draft, node: NodeId, tag: str, spool: Mapping[str, Any]) -> None:
    """The node's logs have these final sizes: the attempt does not end before the head has them all."""
    sizes = {name: int(size) for name, size in spool.items()}
    if any(sizes.values()):
        draft.volatile.logs_due.setdefault(tag, {})[node] = draft.now
        draft.do(Expect(node, tag, sizes))
    else:
        draft.volatile.logs_due.get(tag, {}).pop(node, None)


def on_cleared_again(draft: Draft, node: NodeId, tag: str, spool: Mapping[str, Any]) -> None:
    """A head that was restarted waits for this: which logs are whole it does not know."""
    if node in draft.volatile.logs_due.get(tag, {}):
        expect_logs(draft, node, tag, spool)
        finish_if_clear(draft, split_tag(tag)[0])


def on_logs_complete(draft: Draft, tag: str, node: NodeId) -> None:
    due = draft.volatile.logs_due.get(tag, {})
    due.pop(node, None)
    if draft.current(tag) is not None:
        finish_if_clear(draft, tag.rpartition(".")[0])
    else:
        draft.send(node, "forget", tag)


def finish_if_clear(draft: Draft, job_id: str) -> None:
    """End the attempt once its nodes are clear (or gone), its logs are in and its outputs are home."""
    job = draft.snapshot.jobs[job_id]
    attempt = job.attempt
    if attempt is None or attempt.ended_at or job.state not in (JobState.RUNNING, JobState.COMPLETING):
        return
    open_nodes = [node for node, state in attempt.shares.items() if state is not ShareState.CLEARED]
    if open_nodes and attempt.ending is None:  # nobody knows how its ranks there ended, gone or not
        return
    left = [node for node in open_nodes if not draft.gone(node)]
    due = [node for node in draft.volatile.logs_due.get(job.tag, {}) if not draft.gone(node)]
    if left or due or _outputs_due(draft, job, attempt):
        return
    job = draft.snapshot.jobs[job_id]
    attempt = job.attempt or attempt
    verdict = final_verdict(job, attempt)
    if checkpoints.due(draft, job, attempt, verdict.result):
        return
    lost = draft.volatile.collected.get(job.tag, "")
    if lost and verdict.result is Result.COMPLETED:
        verdict = Verdict(Result.FAILED, f"the outputs could not be brought home: {lost}")
    _conclude(draft, job, attempt, verdict)


def on_checkpoint(draft: Draft, item: Checkpointed) -> None:
    checkpoints.on_collected(draft, item)
    if draft.current(item.tag) is not None:
        finish_if_clear(draft, split_tag(item.tag)[0])


def _outputs_due(draft: Draft, job: Job, attempt: Attempt) -> bool:
    """Whether the end must wait for outputs; begins to bring them home if nobody has."""
    tag = job.tag
    if not job.spec.outputs or not attempt.started_at or tag in draft.volatile.collected:
        return False
    if tag in draft.volatile.collecting or (_rests(draft, tag) and not job.cancelled_by):
        return True
    here = tuple(node for node in attempt.allocation.nodes if node in draft.volatile.links)
    if len(here) == len(attempt.shares) and tag in draft.volatile.late:
        draft.volatile.late[tag].lost = ""
    elif len(here) < len(attempt.shares) and final_verdict(job, attempt).result is Result.COMPLETED:
        _decide(draft, job, attempt)
        if _is_waited_for(draft, job, attempt):
            return True
        if not here:
            draft.volatile.collected[tag] = draft.volatile.late[tag].why
    if not here:
        return False
    _decide(draft, job, attempt)
    draft.volatile.collecting.add(tag)
    draft.do(Collect(tag, here[::-1]))
    return True


def _is_waited_for(draft: Draft, job: Job, attempt: Attempt) -> bool:
    """Whether a node that is away, with what was made there, may come back soon enough."""
    away = [node for node in attempt.allocation.nodes if node not in draft.volatile.links]
    late = draft.volatile.late.setdefault(job.tag, Late(draft.now))
    late.why = f"{away[0]} cannot be reached"
    if not job.cancelled_by and any(_may_come_back(draft, node) for node in away):
        return True
    late.lost = late.why
    return False


def _may_come_back(draft: Draft, node: NodeId) -> bool:
    since = draft.volatile.down_since.get(node, draft.now)
    return node in draft.snapshot.nodes and abs(draft.now - since) < draft.policy.lost_after_s


def _decide(draft: Draft, job: Job, attempt: Attempt) -> None:
    """How the ranks ended is known, whatever becomes of what they made."""
    if attempt.ending is None:
        verdict = judge_exits(attempt)
        draft.record(ev.AttemptEnding(draft.now, job.id, attempt.number, verdict.result, verdict.reason))


def _rests(draft: Draft, tag: str) -> bool:
    """Between two tries; a clock that was set back makes no pause longer."""
    late = draft.volatile.late.get(tag)
    return late is not None and 0.0 < late.again_at - draft.now <= LAST_PAUSE_S


def on_collected(draft: Draft, tag: str, error: str, passing: bool) -> None:
    """``passing``: what went wrong may go better later; the disk of the head may be full, or the line have broken."""
    draft.volatile.collecting.discard(tag)
    found = draft.current(tag)
    if found is None or (error and passing and _is_tried_again(draft, found[0], error)):
        return
    late = draft.volatile.late.get(tag)
    draft.volatile.collected[tag] = error or (late.lost if late else "")
    finish_if_clear(draft, found[0].id)


def _is_tried_again(draft: Draft, job: Job, why: str) -> bool:
    """What a job made lies on its nodes until the attempt ends: when a lease has passed, or it is cancelled."""
    late = draft.volatile.late.setdefault(job.tag, Late(draft.now))
    late.why, late.tries = why, late.tries + 1
    late.again_at = draft.now + min(2.0 ** min(late.tries, 16), LAST_PAUSE_S)
    return not job.cancelled_by and abs(draft.now - late.since) < draft.policy.lease_s


def _conclude(draft: Draft, job: Job, attempt: Attempt, verdict: Verdict) -> None:
    pairs = draft.snapshot.unreachable
    nodes = attempt.allocation.nodes
    apart = any(pairs.get((a, b), 0.0) > draft.now for a in nodes for b in nodes if a != b)
    progress = checkpoints.made_progress(job, attempt)
    again = try_again(job, attempt, verdict.result, peers_at_fault=apart, progress=progress)
    draft.record(
        ev.AttemptEnded(
            draft.now,
            job.id,
            attempt.number,
            verdict.result,
            verdict.reason,
            again.requeue,
            again.counted,
            again.resuming,
            again.most_nodes,
        )
    )
    if verdict.result is Result.COMPLETED and job.spec.checkpoint is not None:
        draft.do(DropCheckpoint(job.id))
    for node, state in attempt.shares.items():
        if state is ShareState.CLEARED:
            draft.send(node, "forget", job.tag)
    draft.volatile.forget(job.tag)
    draft.do(LetGo(job.tag))
