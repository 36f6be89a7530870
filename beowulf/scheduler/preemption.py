"""Whom a job of a class that may preempt makes wait in its place: few, of low classes, and rather the young."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from beowulf.model.job import Job, JobState
from beowulf.model.rules import Rules, ServiceClass
from beowulf.scheduler.board import Board
from beowulf.scheduler.gang import Apart, Gang, gather
from beowulf.scheduler.request import Request
from beowulf.scheduler.state import State


@dataclass(frozen=True, slots=True)
class Bench:
    """``board`` is what the job sees; what runs on ``promised`` places is no victim, for somebody ahead waits there."""

    state: State
    rules: Rules
    board: Board
    apart: Apart
    promised: Collection[int]
    now: float

    def without(self, jobs: Sequence[Job], request: Request) -> Gang | None:
        trial = self.board.fork()
        for job in jobs:
            self.clear(trial, job)
        return self.gang(trial, request)

    def gang(self, board: Board, request: Request) -> Gang | None:
        return gather(request, board.offers(request, None if self.apart else request.max_nodes), self.apart)

    def clear(self, board: Board, job: Job) -> None:
        assert job.attempt is not None
        places = [self.state.place.get(node) for node in job.attempt.allocation.nodes]
        board.give_back(job.tag, job.attempt.allocation, [None if at in self.promised else at for at in places])


def victims(bench: Bench, request: Request, service: ServiceClass) -> tuple[list[Job], Gang] | None:
    """The jobs to end so that ``request`` fits, and where it fits then; None when no choice of them is enough.

    Victims come back by themselves: they are queued again, from their checkpoint.
    """
    chosen: list[Job] = []
    trial = bench.board.fork()
    candidates = _candidates(bench, service)
    for job in sorted(candidates, key=lambda job: _worth(job, bench.rules)):
        bench.clear(trial, job)
        chosen.append(job)
        gang = bench.gang(trial, request)
        if gang is not None:
            return _fewest(bench, request, chosen, gang)
    return None


def _candidates(bench: Bench, service: ServiceClass) -> list[Job]:
    snapshot = bench.state.snapshot
    jobs = (snapshot.jobs[job_id] for job_id in snapshot.active)
    return [
        job for job in jobs if job.spec.service_class in service.preempts and not young(job, bench.rules, bench.now)
    ]


def young(job: Job, rules: Rules, now: float) -> bool:
    """Not to be preempted now: it does not run yet, ends anyway, or is within its grace."""
    attempt = job.attempt
    if job.state is not JobState.RUNNING or attempt is None or attempt.ending is not None or not attempt.started_at:
        return True
    return now - attempt.started_at < rules.service(job.spec.service_class).grace_s


def next_ripe(bench: Bench, service: ServiceClass) -> float:
    """When the next of those that are within their grace is not any more; inf when there are none."""
    snapshot, rules = bench.state.snapshot, bench.rules
    prey = [
        job for job in map(snapshot.jobs.__getitem__, snapshot.active) if job.spec.service_class in service.preempts
    ]
    ends = [
        job.attempt.started_at + rules.service(job.spec.service_class).grace_s
        for job in prey
        if job.attempt and job.attempt.started_at and not job.attempt.ending
    ]
    return min((end for end in ends if end > bench.now), default=float("inf"))


def _worth(job: Job, rules: Rules) -> tuple[float, float, int, int]:
    """Low classes first; then what ran for the shortest time, and so loses least."""
    assert job.attempt is not None
    return rules.service(job.spec.service_class).weight, -job.attempt.started_at, job.number, job.array_index or 0


def _fewest(bench: Bench, request: Request, chosen: Sequence[Job], gang: Gang) -> tuple[list[Job], Gang]:
    """Without those that turned out not to be in the way, the most worthy first."""
    needed = list(chosen)
    for job in reversed(chosen):
        fewer = [other for other in needed if other is not job]
        found = bench.without(fewer, request)
        if found is not None:
            needed, gang = fewer, found
    return needed, gang
