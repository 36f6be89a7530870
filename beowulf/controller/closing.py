"""The end of an attempt whose nodes are clear: the rest of its logs, its outputs, its last checkpoint, the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beowulf.controller import checkpoints
from beowulf.controller.draft import Checkpointed, Collect, Draft, DropCheckpoint, Expect, LetGo
from beowulf.controller.verdict import Verdict, final_verdict, judge_exits, try_again
from beowulf.model import event as ev
from beowulf.model.job import Attempt, Job, JobState, Result, ShareState, split_tag
from beowulf.model.node import NodeId

OUTPUTS_TRIES = 5


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
    _conclude(draft, job, attempt, _less_lost_outputs(draft, job, attempt, verdict))


def on_checkpoint(draft: Draft, item: Checkpointed) -> None:
    checkpoints.on_collected(draft, item)
    if draft.current(item.tag) is not None:
        finish_if_clear(draft, split_tag(item.tag)[0])


def _outputs_due(draft: Draft, job: Job, attempt: Attempt) -> bool:
    """Whether the end must wait for outputs; begins to bring them home if nobody has."""
    state = draft.volatile.bringing(job.tag)
    left = [node for node in attempt.allocation.nodes if not draft.gone(node)]
    if not job.spec.outputs or not attempt.started_at or not left or state.over:
        return False
    if state.going or (state.tries and abs(draft.now - state.failed_at) < draft.policy.outputs_again_s):
        return True
    if attempt.ending is None:
        verdict = judge_exits(attempt)
        draft.record(ev.AttemptEnding(draft.now, job.id, attempt.number, verdict.result, verdict.reason))
    if all(node in draft.volatile.links for node in left):  # who is away for a moment has outputs, too
        state.going = True
        draft.do(Collect(job.tag, tuple(reversed(left))))
    return True


def _less_lost_outputs(draft: Draft, job: Job, attempt: Attempt, verdict: Verdict) -> Verdict:
    """A job is not done whose outputs are lost."""
    state = draft.volatile.bringing(job.tag)
    if not job.spec.outputs or verdict.result is not Result.COMPLETED:
        return verdict
    if state.lost:
        return Verdict(Result.FAILED, f"the outputs could not be brought home: {state.lost}")
    gone = [node for node in attempt.allocation.nodes if node not in state.came]
    return Verdict(Result.NODE_FAIL, f"{gone[0]} is gone, and its outputs with it") if gone else verdict


def on_collected(draft: Draft, tag: str, nodes: tuple[NodeId, ...], error: str, broken: bool) -> None:
    """``broken``: it was the line, and another time it may do."""
    if draft.current(tag) is None:
        return
    state = draft.volatile.bringing(tag)
    state.going, state.tries, state.failed_at = False, state.tries + 1, draft.now
    state.over = not broken or state.tries >= OUTPUTS_TRIES
    state.lost = error if state.over else ""
    state.came = () if error else nodes
    finish_if_clear(draft, tag.rpartition(".")[0])


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
