"""How true promised starts were: the first reservation a job got, beside when it really started."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from beowulf.model.job import Job

LATE_S = 60.0


@dataclass(frozen=True, slots=True)
class Kept:
    """``error_s``: the median of |started - promised|; ``late``: how many started more than a minute after it."""

    jobs: int
    error_s: float
    late: int


def kept_promises(jobs: Iterable[Job]) -> Kept | None:
    """Over all jobs that were promised a start and have started; None where there is none."""
    errors = [error for job in jobs if (error := start_error_s(job)) is not None]
    if not errors:
        return None
    return Kept(len(errors), median(map(abs, errors)), sum(error > LATE_S for error in errors))


def start_error_s(job: Job) -> float | None:
    """Seconds from the promised start to the real one, below 0 for an earlier one; None while one is not known."""
    if not job.promised_at or not job.attempts:
        return None
    first = job.attempts[0]
    return (first.started_at or first.placed_at) - job.promised_at
