"""Who used what: ended jobs, summed up by user, project, queue or name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from beowulf.views.fields import Json, number, text
from beowulf.views.text import printable

USAGE_COLUMNS = ("JOBS", "COMPLETED", "THREAD-HOURS", "GPU-HOURS", "MEDIAN WAIT", "LOST", "RENTED")
BY: Mapping[str, str] = {"user": "owner", "project": "project", "queue": "queue", "name": "name"}


@dataclass
class Usage:
    """``lost_s``: thread-seconds of attempts that ended without their job completing in them."""

    jobs: int = 0
    completed: int = 0
    thread_s: float = 0.0
    gpu_s: float = 0.0
    lost_s: float = 0.0
    waits_s: list[float] = field(default_factory=list)


def used(jobs: Iterable[Json], by: str) -> dict[str, Usage]:
    """By name, who used most first."""
    found: dict[str, Usage] = {}
    for job in jobs:
        one = found.setdefault(text(job, BY[by]), Usage())
        one.jobs += 1
        one.completed += text(job, "word") == "COMPLETED"
        one.thread_s += number(job, "thread_s")
        one.gpu_s += number(job, "gpu_s")
        one.lost_s += number(job, "lost_thread_s")
        if number(job, "first_started_at"):
            one.waits_s.append(max(number(job, "first_started_at") - number(job, "submitted_at"), 0.0))
    return dict(sorted(found.items(), key=lambda pair: (-pair[1].thread_s, pair[0])))


def usage_rows(found: Mapping[str, Usage], rented_usd: Mapping[str, float]) -> list[tuple[str, ...]]:
    """A name and `USAGE_COLUMNS`. ``rented_usd``: by name, what rented machines cost, where that is known."""
    from statistics import median

    from beowulf.views.amounts import duration
    from beowulf.views.machines import dollars

    return [
        (
            printable(name or "-"),
            str(one.jobs),
            str(one.completed),
            f"{one.thread_s / 3600:.2f}",
            f"{one.gpu_s / 3600:.2f}",
            duration(median(one.waits_s)) if one.waits_s else "-",
            f"{100 * one.lost_s / one.thread_s:.0f}%" if one.thread_s else "-",
            dollars(rented_usd[name]) if name in rented_usd else "-",
        )
        for name, one in found.items()
    ]
