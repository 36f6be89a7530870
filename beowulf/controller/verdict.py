"""How an attempt ends, as values: which result, for which reason, and whether the job is tried again."""

from __future__ import annotations

import signal
from dataclasses import dataclass

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


NEWS_TRAVELS_S = 0.5
OF_THE_TEARDOWN = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def first_failure(attempt: Attempt) -> RankExit | None:
    """The process whose failure took the gang down.

    Word of it comes over one link per node, so a peer that broke on the lost connection may be heard of first: a
    process that was ended by a signal, heard of within the time news travel, goes before one that gave up with a code.
    What the teardown ends later is never it.
    """
    failed = [done for done in attempt.exits if done.code != 0]
    if not failed:
        return None
    early = [done for done in failed if done.at - failed[0].at <= NEWS_TRAVELS_S]
    return next((done for done in early if done.signal and done.signal not in OF_THE_TEARDOWN), failed[0])


def failure_sentence(done: RankExit) -> str:
    who = f"rank {done.process}" if done.process.isdigit() else done.process
    if done.signal:
        return f"{who} on {done.node} was ended by signal {done.signal} ({signal_name(done.signal)})"
    return f"{who} on {done.node} ended with exit code {done.code}"


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


def judge_exits(attempt: Attempt) -> Verdict:
    """The result of a gang that ended by itself."""
    failed = first_failure(attempt)
    return Verdict(Result.FAILED, failure_sentence(failed)) if failed else Verdict(Result.COMPLETED, "")


_RETRY_WORD = {Result.NODE_FAIL: "node_fail", Result.FAILED: "error"}


def try_again(job: Job, attempt: Attempt, result: Result, *, peers_at_fault: bool) -> Again:
    """Requeues are bounded by ``retry.max``; nodes that cannot see each other are not the job's fault.

    Neither is it one's own fault to be preempted: who made way comes again, as often as it takes.
    """
    if result is Result.PREEMPTED and not job.cancelled_by:
        return Again(True, counted=False)
    if job.cancelled_by or _RETRY_WORD.get(result) is None:
        return Again(False)
    if peers_at_fault and not attempt.launched_at:
        return Again(True, counted=False)
    wanted = _RETRY_WORD[result] in job.spec.retry.on or (
        result is Result.NODE_FAIL and job.spec.on_rank_loss == "requeue"
    )
    lost_rank = result is Result.FAILED and job.spec.on_rank_loss == "requeue"
    return Again((wanted or lost_rank) and job.retries < job.spec.retry.max)


def exit_code(job: Job) -> int:
    """What ``run`` and ``submit --wait`` end with: the job's own code."""
    if job.result is Result.COMPLETED:
        return 0
    if job.result is Result.TIMEOUT:
        return 124
    if job.result is Result.CANCELLED:
        return 130
    failed = first_failure(job.attempt) if job.attempt else None
    return failed.code if failed and job.result is Result.FAILED else 1
