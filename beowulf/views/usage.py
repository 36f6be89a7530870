"""Who used what: ended jobs, summed up by user, project, queue or name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from time import gmtime, strftime

from beowulf.views.fields import Json, items, number, text
from beowulf.views.hosts import compress_hosts
from beowulf.views.nodes import cpu_count
from beowulf.views.text import printable

USAGE_COLUMNS = ("JOBS", "COMPLETED", "THREAD-HOURS", "OF ALL", "GPU-HOURS", "MEDIAN WAIT", "LOST", "RENTED")
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


def offered_thread_s(nodes: Iterable[Json], jobs: Iterable[Json], now: float) -> float:
    """What the machines there are now had to give since the first of these jobs was submitted; 0 without jobs."""
    since = min((number(job, "submitted_at") for job in jobs), default=now)
    return max(now - since, 0.0) * sum(map(cpu_count, nodes))


def usage_rows(
    found: Mapping[str, Usage], rented_usd: Mapping[str, float], offered_s: float = 0.0
) -> list[tuple[str, ...]]:
    """A name and `USAGE_COLUMNS`. ``rented_usd``: by name, what rented machines cost, where that is known;
    ``offered_s``: all thread-seconds there were, of which ``OF ALL`` is the part."""
    from statistics import median

    from beowulf.views.amounts import duration
    from beowulf.views.machines import dollars

    return [
        (
            printable(name or "-"),
            str(one.jobs),
            str(one.completed),
            f"{one.thread_s / 3600:.2f}",
            f"{100 * one.thread_s / offered_s:.1f}%" if offered_s else "-",
            f"{one.gpu_s / 3600:.2f}",
            duration(median(one.waits_s)) if one.waits_s else "-",
            f"{100 * one.lost_s / one.thread_s:.0f}%" if one.thread_s else "-",
            dollars(rented_usd[name]) if name in rented_usd else "-",
        )
        for name, one in found.items()
    ]


ENDED_FIELDS = (
    *("id", "name", "owner", "project", "queue", "word", "attempts", "nodes", "threads"),
    *("submitted_at", "first_started_at", "ended_at", "thread_s", "gpu_s", "lost_thread_s", "reason"),
)


def ended_rows(jobs: Iterable[Json]) -> list[tuple[str, ...]]:
    """Every figure in full, in the order of `ENDED_FIELDS`; moments as ``2026-11-25T16:50:31Z``."""
    return [tuple(_exact(job, name) for name in ENDED_FIELDS) for job in jobs]


def _exact(job: Json, name: str) -> str:
    if name == "nodes":
        return printable(compress_hosts(map(str, items(job, name))))
    if name.endswith("_at"):
        return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(number(job, name))) if number(job, name) else ""
    return printable(text(job, name))
