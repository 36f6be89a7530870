"""EASY backfilling over one pool of processors, after Lifka (1995), The ANL/IBM SP scheduling system.

Written by itself to judge ours by: it imports nothing of beowulf, and shares no idea of nodes, claims or lines with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Rigid(NamedTuple):
    come: float
    run: float
    limit: float
    wide: int


def easy(jobs: Sequence[Rigid], processors: int, backfill: bool = True) -> list[float]:
    """When each job starts. ``jobs`` by the time they come; without ``backfill`` first come, first served."""
    starts = [-1.0] * len(jobs)
    running: list[tuple[float, float, int]] = []  # (end, end at the latest, width)
    queue: list[int] = []
    upcoming = 0
    while upcoming < len(jobs) or queue:
        arrival = jobs[upcoming].come if upcoming < len(jobs) else float("inf")
        now = min([arrival, *(end for end, _, _ in running)])
        running = [one for one in running if one[0] > now]
        while upcoming < len(jobs) and jobs[upcoming].come <= now:
            queue.append(upcoming)
            upcoming += 1
        free = processors - sum(wide for _, _, wide in running)

        def begin(place: int, now: float = now, into: list[tuple[float, float, int]] = running) -> int:
            job = jobs[place]
            starts[place] = now
            into.append((now + job.run, now + job.limit, job.wide))
            queue.remove(place)
            return job.wide

        while queue and jobs[queue[0]].wide <= free:
            free -= begin(queue[0])
        if not queue or not backfill:
            continue
        shadow, at_shadow = now, free
        for _, latest, wide in sorted(running, key=lambda one: one[1]):
            if at_shadow >= jobs[queue[0]].wide and latest > shadow:
                break
            shadow, at_shadow = latest, at_shadow + wide
        extra = at_shadow - jobs[queue[0]].wide
        for place in queue[1:]:
            job = jobs[place]
            if job.wide > free:
                continue
            if now + job.limit <= shadow:
                free -= begin(place)
            elif job.wide <= extra:
                extra -= job.wide
                free -= begin(place)
    return starts


def slowdown(jobs: Sequence[Rigid], starts: Sequence[float]) -> float:
    """Mean bounded slowdown, with a bound of ten seconds."""
    each = [
        max(1.0, (start - job.come + job.run) / max(job.run, 10.0)) for job, start in zip(jobs, starts, strict=True)
    ]
    return sum(each) / len(each)
