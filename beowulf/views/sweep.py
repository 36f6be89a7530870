"""An array's tasks beside what each reported last, the best first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from beowulf.views.fields import Json, inner, number, text
from beowulf.views.table import Table
from beowulf.views.text import printable

# Of these less is better, as their names say.
LESS_IS_BETTER = ("loss", "error", "perplexity", "rmse", "mae", "mse", "wer")
FIRST = ("TASK", "STATE")
MOST_COLUMNS = 10


def lowest_first(key: str) -> bool:
    """Whether a small value of ``key`` is a good one: a loss, an error or a time (``…_s``)."""
    words = key.lower().replace("-", "_").split("_")
    return words[-1] == "s" or any(word in LESS_IS_BETTER for word in words)


def reported_keys(tasks: Iterable[Json]) -> list[str]:
    """Everything any task reported, in the order it first came."""
    return list(dict.fromkeys(key for task in tasks for key in inner(task, "values")))


def best_first(tasks: Iterable[Json], key: str, *, lowest: bool) -> list[Json]:
    """Tasks whose value is no number (diverged, or not reported) come last; ties keep the order of the indexes."""

    def place(task: Json) -> tuple[bool, float]:
        value = inner(task, "values").get(key)
        known = isinstance(value, (int, float)) and math.isfinite(value)
        return (not known, (number(inner(task, "values"), key) * (1 if lowest else -1)) if known else 0.0)

    return sorted(tasks, key=place)


def sweep_table(tasks: Sequence[Json], key: str = "", *, every: bool = False) -> Table:
    """In the order given; the column of ``key`` first. ``every``: all columns, and numbers in full."""
    keys = reported_keys(tasks)
    ordered = [key, *(one for one in keys if one != key)] if key else keys
    chosen = ordered if every else ordered[:MOST_COLUMNS]
    rows = tuple(
        (text(task, "id"), text(task, "word"), *(_cell(inner(task, "values").get(one), every) for one in chosen))
        for task in tasks
    )
    return Table("", (*FIRST, *(printable(one) if every else printable(one).upper() for one in chosen)), rows)


def _cell(value: object, exact: bool) -> str:
    if value is None:
        return "" if exact else "-"
    return f"{value:.4g}" if isinstance(value, float) and not exact else printable(value)
