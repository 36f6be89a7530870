"""Ended and live jobs as sacct prints them, and the moments it takes (``-S 2026-11-01``, ``-S now-2days``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple

from beowulf.model.errors import BadInput
from beowulf.views.fields import Json, items, number, text
from beowulf.views.jobs import job_nodes, job_word, ran_s
from beowulf.views.slurm import SACCT_WIDTH, limit_text, moment_text
from beowulf.views.text import printable


class Field(NamedTuple):
    title: str
    width: int


def _moment(at: float) -> str:
    return moment_text(at, "Unknown")


def _elapsed(seconds: float) -> str:
    """``00:01:05``, ``1-02:03:04``: sacct writes hours always."""
    days, rest = divmod(int(seconds), 86400)
    clock = f"{rest // 3600:02}:{rest % 3600 // 60:02}:{rest % 60:02}"
    return f"{days}-{clock}" if days else clock


def _cpu_s(job: Json, now: float) -> float:
    """Of all attempts: what has ended is summed up already, what runs is not."""
    live = ran_s(job, now) * number(job, "threads") if not number(job, "ended_at") else 0.0
    return number(job, "thread_s") + live


def _exit(job: Json) -> str:
    code, signal = ([*items(job, "exit"), 0, 0])[:2]
    return f"{int(code)}:{int(signal)}"


FIELDS: Mapping[str, tuple[str, Callable[[Json, float], str]]] = {
    "jobid": ("JobID", lambda job, _: text(job, "id")),
    "jobidraw": ("JobIDRaw", lambda job, _: text(job, "id")),
    "jobname": ("JobName", lambda job, _: text(job, "name")),
    "partition": ("Partition", lambda job, _: text(job, "queue")),
    "account": ("Account", lambda job, _: text(job, "project")),
    "user": ("User", lambda job, _: text(job, "owner")),
    "alloccpus": ("AllocCPUS", lambda job, _: text(job, "threads")),
    "ncpus": ("NCPUS", lambda job, _: text(job, "threads")),
    "nnodes": ("NNodes", lambda job, _: str(len(items(job, "nodes")))),
    "allocnodes": ("AllocNodes", lambda job, _: str(len(items(job, "nodes")))),
    "nodelist": ("NodeList", lambda job, _: job_nodes(job) if items(job, "nodes") else "None assigned"),
    "state": ("State", lambda job, _: job_word(job)),
    "exitcode": ("ExitCode", lambda job, _: _exit(job)),
    "reason": ("Reason", lambda job, _: text(job, "reason") or "None"),
    "priority": ("Priority", lambda job, _: text(job, "priority")),
    "submit": ("Submit", lambda job, _: _moment(number(job, "submitted_at"))),
    "start": ("Start", lambda job, _: _moment(number(job, "started_at"))),
    "end": ("End", lambda job, _: _moment(number(job, "ended_at"))),
    "elapsed": ("Elapsed", lambda job, now: _elapsed(ran_s(job, now))),
    "elapsedraw": ("ElapsedRaw", lambda job, now: str(int(ran_s(job, now)))),
    "cputime": ("CPUTime", lambda job, now: _elapsed(_cpu_s(job, now))),
    "cputimeraw": ("CPUTimeRAW", lambda job, now: str(int(_cpu_s(job, now)))),
    "timelimit": ("Timelimit", lambda job, _: limit_text(number(job, "max_duration_s"))),
}


def parse_fields(given: str) -> list[Field]:
    """``JobID,State%20`` → the fields. Raises `BadInput` that names the one that is not known."""
    found = []
    for word in filter(None, given.split(",")):
        name, percent, width = word.partition("%")
        if name.lower() not in FIELDS or (percent and not re.fullmatch(r"-?[0-9]{1,4}", width)):
            known = ", ".join(title for title, _ in FIELDS.values())
            raise BadInput(f"{word!r} is not known ({known})", where="--format")
        found.append(Field(FIELDS[name.lower()][0], int(width) if width else SACCT_WIDTH))
    return found


def account_lines(fields: Sequence[Field], jobs: Iterable[Json], now: float, *, header: bool) -> list[str]:
    """In columns; what is too long for its column ends in ``+``. Negative widths stand left."""
    lines = [" ".join(_fitted(field.title, field) for field in fields)] if header else []
    lines += [" ".join("-" * abs(field.width) for field in fields)] if header else []
    for job in jobs:
        cells = zip(_cells(fields, job, now), fields, strict=True)
        lines.append(" ".join(_fitted(cell, field) for cell, field in cells))
    return lines


def parsable_lines(
    fields: Sequence[Field], jobs: Iterable[Json], now: float, *, header: bool, between: str, last: bool
) -> list[str]:
    """``last``: the delimiter ends each line, too (``--parsable``)."""
    rows = [[field.title for field in fields]] if header else []
    rows += [_cells(fields, job, now) for job in jobs]
    return [between.join(row) + (between if last else "") for row in rows]


def _cells(fields: Sequence[Field], job: Json, now: float) -> list[str]:
    return [printable(FIELDS[field.title.lower()][1](job, now)) for field in fields]


def _fitted(cell: str, field: Field) -> str:
    width = abs(field.width)
    cut = cell if len(cell) <= width else cell[: max(width - 1, 0)] + "+"
    return cut.ljust(width) if field.width < 0 else cut.rjust(width)


def moment(given: str, now: float, where: str) -> float:
    """Seconds since the epoch: ``2026-11-01``, ``2026-11-01T12:30``, ``12:30``, ``11/01``, ``now-2days``, ``midnight``.

    In the viewer's time zone. Raises `BadInput`.
    """
    here = datetime.fromtimestamp(now)
    midnight = here.replace(hour=0, minute=0, second=0, microsecond=0)
    if match := re.fullmatch(r"now(?:([+-])([0-9]{1,6})(seconds|minutes|hours|days|weeks)?)?", given):
        shift = timedelta(**{match[3] or "seconds": int(match[2] or 0)})
        with suppress(OverflowError):  # years without a calendar
            return (here - shift if match[1] == "-" else here + shift).timestamp()
    if given in ("midnight", "today"):
        return midnight.timestamp()
    for pattern in ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d", "%m/%d/%y"):
        try:
            return datetime.strptime(given, pattern).timestamp()
        except ValueError:
            continue
    if match := re.fullmatch(r"([0-2]?[0-9]):([0-5][0-9])(?::([0-5][0-9]))?", given):
        hour = int(match[1])
        if hour < 24:
            return midnight.replace(hour=hour, minute=int(match[2]), second=int(match[3] or 0)).timestamp()
    raise BadInput(f"{given!r} is no moment (2026-11-01, 2026-11-01T12:30, 12:30, now-2days)", where=where)


def within(job: Json, since: float, until: float) -> bool:
    """Whether it was in the queue or ran at any time between the two."""
    ended = number(job, "ended_at")
    return number(job, "submitted_at") <= until and (not ended or ended >= since)
