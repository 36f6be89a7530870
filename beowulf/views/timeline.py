"""A job's life: each step with when it began and how long it lasted, through all its attempts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from beowulf.views.amounts import clock_time, lasted
from beowulf.views.fields import Json, inner, items, number, text
from beowulf.views.table import Table
from beowulf.views.text import printable

MOST_ATTEMPTS = 8  # the newest
COLUMNS = ("STEP", "AT", "LASTED")


def timeline(job: Json, checkpoints: Sequence[Json] = (), *, now: float, utc: bool = False) -> Table:
    """The step under way counts up to now. ``checkpoints``: the job's ``CheckpointKept`` events, oldest first."""
    steps = list(_steps(job))
    ends = [at for _, (_, at) in pairwise(steps)] + [now]
    rows = []
    for (what, at), until in zip(steps, ends, strict=True):
        rows.append((at, (what, clock_time(at, utc=utc), "" if what == "ended" else lasted(until - at))))
    rows += [(at, (what, clock_time(at, utc=utc), "")) for what, at in _kept(checkpoints, since=_shown_from(job))]
    earlier = len(items(job, "attempts")) - MOST_ATTEMPTS
    left_out = [(f"… {earlier} earlier attempts", "", "")] if earlier > 0 else []
    ordered = [row for _, row in sorted(rows, key=lambda one: one[0])]
    return Table("Timeline", COLUMNS, (*ordered[:1], *left_out, *ordered[1:]))


def _shown(job: Json) -> list[Json]:
    return items(job, "attempts")[-MOST_ATTEMPTS:]


def _shown_from(job: Json) -> float:
    return min((number(attempt, "placed_at") for attempt in _shown(job)), default=0.0)


def _steps(job: Json) -> Iterator[tuple[str, float]]:
    """(what, when it began), in their order."""
    yield "queued", number(job, "submitted_at")
    shown = _shown(job)
    for place, attempt in enumerate(shown):
        last = place == len(shown) - 1
        ended = number(attempt, "ended_at") or (number(job, "ended_at") if last else 0.0)
        requeued = not last or not number(job, "ended_at")
        moments = (
            ("preparing", number(attempt, "placed_at")),
            ("running", number(attempt, "started_at")),
            (_requeued(attempt) if requeued else "ended", ended),
        )
        yield from ((what, at) for what, at in moments if at)
    if not shown and number(job, "ended_at"):
        yield "ended", number(job, "ended_at")


def _requeued(attempt: Json) -> str:
    return printable(f"queued again after {text(attempt, 'ending') or 'the end of the attempt'}")


def _kept(checkpoints: Sequence[Json], since: float) -> Iterator[tuple[str, float]]:
    """Of each attempt one line: how many, and the newest."""
    by_attempt: dict[int, list[Json]] = {}
    for event in checkpoints:
        if number(event, "at") >= since:
            by_attempt.setdefault(int(number(inner(event, "body"), "attempt")), []).append(event)
    for found in by_attempt.values():
        step = int(number(inner(found[-1], "body"), "step"))
        told = f"checkpoint{f', step {step}' if step else ''}"
        yield told if len(found) == 1 else f"{told}, the newest of {len(found)}", number(found[-1], "at")
