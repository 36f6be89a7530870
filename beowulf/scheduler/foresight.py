"""What comes if nothing new does: what runs ends at its limit or by its estimate, and plan follows plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import islice

from beowulf.model import event as ev
from beowulf.model.allocation import Allocation
from beowulf.model.apply import apply
from beowulf.model.job import JobId, Result
from beowulf.model.rules import Rules
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler.answers import Plan
from beowulf.scheduler.estimates import UNKNOWN, History, end_of, history_of
from beowulf.scheduler.limits import Spent
from beowulf.scheduler.planning import Memo, replan

SOON_S = 1.0  # what is past its end may be gone any moment


def start_of(snapshot: Snapshot, now: float, job_id: JobId, rules: Rules, spent: Spent) -> float | None:
    """When the job starts, as far as ends are known; None when that does not say, or the time for it is used up."""
    for at, after, starts in unfolding(snapshot, now, rules):
        if job_id in starts:
            return at
        if spent() or job_id not in after.pending:
            return None
    return None


@dataclass(frozen=True, slots=True)
class NextStart:
    """``ends_at`` is inf where nobody knows. Times in seconds since the epoch."""

    job_id: JobId
    at: float
    allocation: Allocation
    ends_at: float


def next_starts(snapshot: Snapshot, now: float, rules: Rules, most: int, spent: Spent) -> list[NextStart]:
    """Who of those that wait now starts when, the soonest first; not those of whom known ends say nothing."""
    history = history_of(snapshot.jobs.values()) if rules.estimate else History()
    found: dict[JobId, NextStart] = {}
    for at, after, starts in unfolding(snapshot, now, rules):
        fresh = (job_id for job_id in starts if job_id in snapshot.pending and job_id not in found)
        for job_id in sorted(fresh):
            job = after.jobs[job_id]
            attempt = job.attempts[-1]
            found[job_id] = NextStart(job_id, at, attempt.allocation, end_of(job, attempt, history))
        if spent() or len(found) >= most:
            break
    return list(found.values())[:most]


def starts_of(
    snapshot: Snapshot, now: float, jobs: Mapping[JobId, float], rules: Rules, most: int
) -> dict[JobId, float]:
    """When these jobs start, each with the moment after which that is of no interest; inf where it is later than that,
    where no known end says so, or where ``most`` plans did not come so far."""
    found: dict[JobId, float] = {}
    asked = dict(jobs)
    for at, _, starts in islice(unfolding(snapshot, now, rules), most):
        found.update((job_id, at) for job_id in starts if job_id in asked)
        asked = {job_id: until for job_id, until in asked.items() if job_id not in found and at <= until}
        if not asked:
            break
    return {job_id: found.get(job_id, UNKNOWN) for job_id in jobs}


def unfolding(snapshot: Snapshot, now: float, rules: Rules) -> Iterator[tuple[float, Snapshot, frozenset[JobId]]]:
    """(time, what is then, who starts) of plan after plan, until nothing is known to come."""
    # What ends on the way teaches nothing: it was itself foretold.
    history = history_of(snapshot.jobs.values()) if rules.estimate else History()
    ends = ((_end(snapshot, job, now, history), job) for job in snapshot.active)
    heap = [(end, job) for end, job in ends if end < UNKNOWN]
    heapify(heap)
    memo: Memo | None = None
    while True:
        decided, memo = replan(snapshot, now, rules, memo)
        snapshot = _carried_out(snapshot, decided, now)
        starts = frozenset(start.job_id for start in decided.starts)
        for end, job in ((_end(snapshot, job, now, history), job) for job in starts):
            if end < UNKNOWN:
                heappush(heap, (end, job))
        yield now, snapshot, starts
        if decided.stops or decided.dead:
            continue
        while heap and _gone(snapshot, heap[0], history):
            heappop(heap)
        later = min(heap[0][0] if heap else UNKNOWN, decided.again_at)
        if later == UNKNOWN or not snapshot.pending:
            return
        now = later
        while heap and heap[0][0] <= now:
            _, ended = heappop(heap)
            if ended in snapshot.active:
                snapshot = _over(snapshot, ended, now, Result.COMPLETED)


def _carried_out(snapshot: Snapshot, decided: Plan, now: float) -> Snapshot:
    for start in decided.starts:
        number = len(snapshot.jobs[start.job_id].attempts) + 1
        snapshot = apply(snapshot, ev.JobPlaced(now, start.job_id, number, start.allocation))
    for stop in decided.stops:
        snapshot = _over(snapshot, stop.job_id, now, Result.PREEMPTED)
    for dead, sentence in decided.dead:
        snapshot = apply(snapshot, ev.JobEnded(now, dead, Result.CANCELLED, sentence))
    return snapshot


def _end(snapshot: Snapshot, job_id: JobId, now: float, history: History) -> float:
    job = snapshot.jobs[job_id]
    return max(end_of(job, job.attempts[-1], history), now + SOON_S)


def _gone(snapshot: Snapshot, entry: tuple[float, JobId], history: History) -> bool:
    """Preempted meanwhile, and perhaps running again with another end."""
    end, job_id = entry
    job = snapshot.jobs[job_id]
    return job_id not in snapshot.active or (
        job.attempts[-1].ending is None and end_of(job, job.attempts[-1], history) > end
    )


def _over(snapshot: Snapshot, job_id: JobId, now: float, result: Result) -> Snapshot:
    attempt = snapshot.jobs[job_id].attempts[-1]
    snapshot = apply(snapshot, ev.AttemptEnding(now, job_id, attempt.number, result, ""))
    for node in attempt.shares:
        snapshot = apply(snapshot, ev.ShareCleared(now, job_id, attempt.number, node))
    again = result is Result.PREEMPTED
    return apply(snapshot, ev.AttemptEnded(now, job_id, attempt.number, result, "", again, False))
