"""How an attempt ends, as values: which result, for which reason, and whether the job is tried again."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from beowulf.launch import ends_with_first_node
from beowulf.model.job import Attempt, Job, RankExit, Result


@dataclass(frozen=True, slots=True)
class Verdict:
    result: Result
    reason: str


@dataclass(frozen=True, slots=True)
class Again:
    """Whether an ended attempt is followed by another."""

    requeue: bool
    counted: bool = True
    resuming: bool = False  # before everything else of its priority
    most_nodes: int = 0  # 0: as its spec says


NEWS_TRAVELS_S = 0.5
CODES = {126: "what it called may not be executed", 127: "a program it called was not found"}  # as every shell has them
OF_THE_TEARDOWN = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def first_failure(attempt: Attempt, grace_s: float = 0.0) -> RankExit | None:
    """The process whose failure took the gang down.

    Word of it comes over one link per node, so a peer that broke on the lost connection may be heard of first: a
    process that was ended by a signal, heard of within the time news travel, goes before one that gave up with a code.
    What the teardown ends later is never it. ``grace_s``: so long the teardown kills nobody, so that a process of
    another node that was killed meanwhile goes first, too, however long news of it travelled.
    """
    failed = [done for done in attempt.exits if done.code != 0]
    if not failed:
        return None
    early = [done for done in failed if done.at - failed[0].at <= NEWS_TRAVELS_S]
    ended = [done for done in early if done.signal and done.signal not in OF_THE_TEARDOWN]
    ended += [
        done for done in failed if done.signal == signal.SIGKILL and _is_no_work_of_ours(done, failed[0], grace_s)
    ]
    return next(iter(ended), failed[0])


def _is_no_work_of_ours(done: RankExit, first: RankExit, grace_s: float) -> bool:
    return done.node != first.node and done.at - first.at < grace_s


def failure_sentence(done: RankExit) -> str:
    who = f"rank {done.process}" if done.process.isdigit() else done.process
    if done.signal:
        return f"{who} on {done.node} was ended by signal {done.signal} ({signal_name(done.signal)})"
    meant = f" ({CODES[done.code]})" if done.code in CODES else ""
    return f"{who} on {done.node} ended with exit code {done.code}{meant}"


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


def judge_exits(attempt: Attempt, grace_s: float = 0.0) -> Verdict:
    """The result of a gang that ended by itself. ``grace_s``: see `first_failure`."""
    failed = first_failure(attempt, grace_s)
    return Verdict(Result.FAILED, failure_sentence(failed)) if failed else Verdict(Result.COMPLETED, "")


def final_verdict(job: Job, attempt: Attempt) -> Verdict:
    """How an attempt ended whose nodes are clear, once all that could be heard of it was heard."""
    exits = judge_exits(attempt, _grace_s(job))
    if attempt.ending is None:
        return exits
    verdict = Verdict(attempt.ending, attempt.reason)
    if verdict.result is Result.FAILED and attempt.exits:  # who failed first may have been heard of second
        return verdict if verdict.reason.startswith(exits.reason) else exits
    if verdict.result is Result.RESIZED:
        if job.cancelled_by:
            return Verdict(Result.CANCELLED, f"cancelled by {job.cancelled_by}")
        if exits.result is Result.COMPLETED and len(attempt.exits) >= attempt.allocation.world_size:
            return exits  # it was done before it could be ended
    return verdict


def _grace_s(job: Job) -> float:
    """mpirun kills by itself, and sooner."""
    return 0.0 if ends_with_first_node(job.spec) else job.spec.kill_grace_s


OF_OURS = 3  # attempts in a row that never ran after a resize and are not counted
_RETRY_WORD = {Result.NODE_FAIL: "node_fail", Result.FAILED: "error"}


def try_again(job: Job, attempt: Attempt, result: Result, *, peers_at_fault: bool, progress: bool = False) -> Again:
    """Requeues are bounded by ``retry.max``; nodes that cannot see each other are not the job's fault.

    Neither is it one's own fault to be preempted: who made way comes again, as often as it takes. A job that shrinks is
    bounded by its own steps: each loss that does not count has to come after a newer checkpoint.
    """
    if job.cancelled_by:
        return Again(False)
    if result is Result.RESIZED:
        return Again(True, counted=False, resuming=True, most_nodes=attempt.resize_to)
    if result is Result.PREEMPTED:
        return Again(True, counted=False)
    if _RETRY_WORD.get(result) is None:
        return Again(False)
    shrinks = job.spec.on_rank_loss == "shrink"
    if peers_at_fault and not attempt.launched_at:
        return Again(True, counted=False, resuming=shrinks)
    lost = result in (Result.NODE_FAIL, Result.FAILED)
    if lost and shrinks and progress:
        return Again(True, counted=False, resuming=True)
    before = _size_before_resize(job, attempt)
    if before:
        return Again(True, counted=False, resuming=True, most_nodes=before)
    wanted = _RETRY_WORD[result] in job.spec.retry.on or (lost and job.spec.on_rank_loss in ("requeue", "shrink"))
    return Again(wanted and job.retries < job.spec.retry.max, resuming=shrinks)


def _size_before_resize(job: Job, attempt: Attempt) -> int:
    """Above 0 when an attempt never ran that a resize had brought about: that was our idea, not the job's.

    Neither are the next few the job's, if they never ran either: they may have been placed there again.
    """
    before = [one for one in job.attempts if one.number < attempt.number]
    for one in () if attempt.started_at else before[: -1 - OF_OURS : -1]:
        if one.ending is Result.RESIZED and one.started_at:  # else given up before it ran, which resized nothing
            return len(one.allocation.nodes)
        if one.started_at:
            break
    return 0


def exit_code(job: Job) -> int:
    """What ``run`` and ``submit --wait`` end with: the job's own code."""
    if job.result is Result.COMPLETED:
        return 0
    if job.result is Result.TIMEOUT:
        return 124
    if job.result is Result.CANCELLED:
        return 130
    failed = first_failure(job.attempt, _grace_s(job)) if job.attempt else None
    return failed.code if failed and job.result is Result.FAILED else 1
