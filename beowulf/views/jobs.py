"""One line per job, as ``beowulf ps`` and the job list of ``beowulf top`` show it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from beowulf.views.amounts import clock_time, duration, in_local_time
from beowulf.views.fields import Json, inner, items, number, text
from beowulf.views.hosts import compress_hosts
from beowulf.views.text import printable

JOB_COLUMNS = ("JOBID", "NAME", "USER", "STATE", "TIME", "NODES", "REASON")
JOB_DETAIL_COLUMNS = ("ETA", "QUEUE", "PRIORITY", "LAUNCHER", "RANKS", "TRIES", "SUBMITTED")
WAITING = "PENDING"


class JobRow(NamedTuple):
    """Fields in the order of `JOB_COLUMNS`."""

    id: str
    name: str
    user: str
    state: str
    time: str
    nodes: str
    reason: str


def job_row(job: Json, now: float) -> JobRow:
    """``now``: seconds since the epoch. ``time`` is how long the newest attempt ran, or runs."""
    word = job_word(job)
    return JobRow(
        id=printable(text(job, "id")),
        name=printable(text(inner(job, "spec"), "name") or text(job, "name")),
        user=_user(job),
        state=word,
        time=duration(ran_s(job, now)),
        nodes=job_nodes(job),
        reason=printable(in_local_time(text(job, "reason"))) if word not in {"RUNNING", "COMPLETED"} else "",
    )


def job_detail(job: Json, now: float) -> tuple[str, ...]:
    """Of a summary, in the order of `JOB_DETAIL_COLUMNS`."""
    return (
        job_eta(job, now),
        printable(text(job, "queue")),
        text(job, "priority"),
        printable(text(job, "launcher")),
        text(job, "ranks") if number(job, "ranks") else "",
        text(job, "attempts") if number(job, "attempts") else "",
        clock_time(number(job, "submitted_at")),
    )


def job_eta(job: Json, now: float) -> str:
    """``in 20:00``: the start it was promised; ``≤ 1:20:00``: its limit ends it then. "" where nobody knows."""
    word, promised_at, limit_s = job_word(job), number(job, "promised_at"), number(job, "max_duration_s")
    if word == WAITING and promised_at:
        return f"in {duration(promised_at - now)}" if promised_at > now else "soon"
    if word == "RUNNING" and limit_s:
        return f"≤ {duration(limit_s - ran_s(job, now))}"
    return ""


def _user(job: Json) -> str:
    """``alice``, or ``alice/vision`` where the job is for a project."""
    project = text(inner(job, "spec"), "project") or text(job, "project")
    return printable(f"{text(job, 'owner')}/{project}" if project else text(job, "owner"))


def job_rows(jobs: Iterable[Json], now: float, *, group_arrays: bool = True) -> list[JobRow]:
    """Jobs in the order they came; tasks of one array that wait for the same reason share a line: ``17_[3-9]``."""
    shown = grouped(jobs) if group_arrays else [(printable(text(job, "id")), job) for job in jobs]
    return [job_row(job, now)._replace(id=name) for name, job in shown]


def grouped(jobs: Iterable[Json]) -> list[tuple[str, Json]]:
    """``(17_[3-9], the first of them)`` for tasks that wait alike, and everybody else alone."""
    shown: list[tuple[str, Json]] = []
    places: dict[tuple[str, str], int] = {}
    indices: dict[int, list[int]] = {}
    for job in jobs:
        index = job.get("array_index")
        if isinstance(index, int) and job_word(job) == WAITING:
            place = places.setdefault((text(job, "number"), text(job, "reason")), len(shown))
            indices.setdefault(place, []).append(index)
            if place < len(shown):
                continue
        shown.append((printable(text(job, "id")), job))
    for place, found in indices.items():
        if len(found) > 1:
            name, job = shown[place]
            shown[place] = (f"{name.rpartition('_')[0]}_{_ranges(found)}", job)
    return shown


def job_word(job: Json) -> str:
    """PENDING … COMPLETED, FAILED: the state as users of the field know it."""
    word = text(job, "word")
    if word:
        return printable(word)
    ended = text(job, "state") == "ENDED" and text(job, "result")
    return printable(ended or text(job, "state") or "?")


def newest_attempt(job: Json) -> Json:
    attempts = items(job, "attempts")
    return attempts[-1] if attempts and isinstance(attempts[-1], dict) else {}


def attempt_nodes(attempt: Json) -> list[str]:
    return [text(share, "node") for share in items(inner(attempt, "allocation"), "shares")]


def job_nodes(job: Json) -> str:
    """``n[1-4]``; of a job that waits, how many it wants: ``(4)`` or ``(2..8)``."""
    if job_word(job) != WAITING:
        named = attempt_nodes(newest_attempt(job)) or [str(node) for node in items(job, "nodes")]
        return printable(compress_hosts(named)) if named else ""
    spec = inner(job, "spec") or job  # a summary has them at the top
    least, most = int(number(spec, "min_nodes")), int(number(spec, "max_nodes"))
    return f"({least}..{most})" if most > least else f"({least or 1})"


def ran_s(job: Json, now: float) -> float:
    """Seconds the newest attempt ran; 0 before its ranks started."""
    attempt = newest_attempt(job)
    started = number(attempt, "started_at") or number(job, "started_at")
    if not started or job_word(job) == WAITING:
        return 0.0
    return max((number(attempt, "ended_at") or number(job, "ended_at") or now) - started, 0.0)


def _ranges(numbers: list[int]) -> str:
    return compress_hosts(str(number) for number in sorted(set(numbers)))
