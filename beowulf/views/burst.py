"""A job here and on what is on offer, side by side."""

from __future__ import annotations

from beowulf.views.amounts import clock_time, in_local_time
from beowulf.views.fields import Json, count, inner, items, number, text
from beowulf.views.text import printable

COMPARISON_COLUMNS = ("WHERE", "MACHINES", "MARKET", "START", "END", "COST", "EGRESS", "")


def comparison_rows(burst: Json, *, utc: bool = False) -> list[tuple[str, ...]]:
    """``burst`` as the answer of a dry run has it; COST holds EGRESS; the last cell says why an offer is not taken."""
    here, due = inner(burst, "here"), number(burst, "deadline")
    times = (clock_time(number(here, "start"), utc=utc), clock_time(number(here, "end"), utc=utc))
    first = ("here", "-", "-", *times, "$0.00", "-", _late(here, due))
    return [first, *(_row(one, due, utc) for one in items(burst, "offers"))]


def comparison_words(burst: Json) -> list[str]:
    """What was left out of the rows, and what follows from them all."""
    more, rented = count(burst, "more"), any(one.get("chosen") for one in items(burst, "offers"))
    left_out = [f"and {more} more offer{'s' * (more != 1)}, dearer or not to be had"] if more else []
    verdict = "would rent" if rented else "would rent nothing"
    return [*left_out, f"{verdict}: {printable(in_local_time(text(burst, 'sentence')))}"]


def comparison_lines(answer: Json) -> list[str]:
    """Of a dry run: `comparison_rows` and what follows from them; none where the job would start here now."""
    burst = inner(answer, "burst")
    if not burst or answer.get("fits"):
        return []
    rows = [COMPARISON_COLUMNS, *comparison_rows(burst)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return ["", *table, *comparison_words(burst)]


def _row(offer: Json, due: float, utc: bool) -> tuple[str, ...]:
    beside = int(number(offer, "beside"))
    machines = f"{int(number(offer, 'count'))} {text(offer, 'machine_type')}{f' + {beside} here' if beside else ''}"
    times = (clock_time(number(offer, "start"), utc=utc), clock_time(number(offer, "end"), utc=utc))
    money = [f"${number(offer, key):,.2f}" if offer.get(key) is not None else "-" for key in ("cost_usd", "egress_usd")]
    word = "taken" if offer.get("chosen") else text(offer, "but") or _late(offer, due)
    return tuple(map(printable, (text(offer, "site"), machines, text(offer, "market"), *times, *money, word)))


def _late(place: Json, due: float) -> str:
    return "ends after the deadline" if due and number(place, "end") > due else ""
