"""How long a job without a limit will run: as earlier runs of its kind (name, user, launcher). And how true it was."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeAlias

from immutables import Map

from beowulf.model.job import Attempt, Job, JobId, JobSpec, Launcher, Result
from beowulf.scheduler.throughput import steps_left

RUNS = 20  # the last so many count
LEAST = 3  # fewer say nothing
PART = 0.9  # of earlier runs were over by the time that is predicted

UNKNOWN = float("inf")

Kind: TypeAlias = tuple[str, str, Launcher]
Run: TypeAlias = tuple[float, JobId, float]
"""(when it ended, job, seconds it took)"""

History: TypeAlias = Map[Kind, tuple[Run, ...]]


@dataclass(frozen=True, slots=True)
class Estimate:
    """``error``: the median of |predicted - true| / true over earlier runs, each predicted from those before it."""

    run_s: float
    runs: int
    error: float | None


def kind_of(spec: JobSpec, owner: str) -> Kind:
    return spec.name, owner, spec.launcher


def history_of(jobs: Iterable[Job]) -> History:
    kinds: dict[Kind, list[Run]] = {}
    for job in jobs:
        run = _run(job) if job.result is Result.COMPLETED else None
        if run is not None:
            kinds.setdefault(kind_of(job.spec, job.owner), []).append(run)
    return Map({kind: tuple(sorted(runs)) for kind, runs in kinds.items()})


def remembered(history: History, old: Job | None, new: Job | None) -> History:
    for job, comes in ((old, False), (new, True)):
        run = _run(job) if job is not None else None
        if job is None or run is None:
            continue
        kind = kind_of(job.spec, job.owner)
        runs = list(history.get(kind, ()))
        if comes:
            insort(runs, run)
        else:
            runs.remove(run)
        history = history.set(kind, tuple(runs)) if runs else history.delete(kind)
    return history


def _run(job: Job) -> Run | None:
    last = job.attempt
    if job.result is not Result.COMPLETED or last is None or not last.ended_at:
        return None
    kept = (one for one in job.attempts if one is last or one.ending is Result.RESIZED)  # what it went on from
    return last.ended_at, job.id, sum(max(0.0, one.ended_at - (one.started_at or one.placed_at)) for one in kept)


def predicted_s(runs: Sequence[Run], before: float = UNKNOWN) -> float:
    """From the last runs that ended before that moment; inf where there are too few."""
    end = bisect_left(runs, (before,)) if before < UNKNOWN else len(runs)
    if end < LEAST:
        return UNKNOWN
    last = sorted(run_s for _, _, run_s in runs[max(0, end - RUNS) : end])
    return last[min(len(last) - 1, int(PART * len(last)))]


def length_s(spec: JobSpec, owner: str, history: History, before: float = UNKNOWN) -> float:
    """How long a job takes, its grace included: by its limit, or else as its kind did."""
    if spec.max_duration_s:
        return spec.max_duration_s + spec.kill_grace_s
    runs = history.get(kind_of(spec, owner), ())
    return predicted_s(runs, before) + spec.kill_grace_s if runs else UNKNOWN


def expected_s(spec: JobSpec, owner: str, history: History) -> float:
    """How long a job takes by earlier runs of its kind, and no longer than its limit; inf where neither is known."""
    return min(predicted_s(history.get(kind_of(spec, owner), ())), length_s(spec, owner, history))


def end_of(job: Job, attempt: Attempt, history: History) -> float:
    """When the attempt is over; in the past for one that is being ended, which is any moment; inf: nobody knows."""
    if attempt.ending is not None:
        return 0.0
    length, spec = length_s(job.spec, job.owner, history, attempt.placed_at), job.spec
    pace = attempt.steps_per_s or attempt.allocation.steps_per_s
    if spec.steps and pace and not spec.max_duration_s:
        length = steps_left(spec, attempt.from_step) / pace + spec.kill_grace_s
    return (attempt.started_at or attempt.placed_at) + length


def estimate(spec: JobSpec, owner: str, history: History) -> Estimate | None:
    """None where the kind has too few runs."""
    runs = history.get(kind_of(spec, owner), ())
    guess = predicted_s(runs)
    if guess == UNKNOWN:
        return None
    errors = [
        abs(predicted_s(runs[:place]) - run_s) / max(run_s, 1.0)
        for place, (_, _, run_s) in enumerate(runs)
        if place >= LEAST
    ]
    return Estimate(guess, min(len(runs), RUNS), median(errors) if errors else None)
