"""How busy a job's machines were over its life, drawn in a line of characters per figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from beowulf.views.amounts import duration, mebibytes
from beowulf.views.bars import spark
from beowulf.views.fields import Json, items, number
from beowulf.views.table import Table

COURSE_COLUMNS = ("USE", "MEAN", "MOST", "COURSE")
WIDTH = 60


def course_table(course: Json, width: int = WIDTH) -> Table:
    """``course`` as the API sends it; no rows where nothing was seen. Blanks are when the head did not look."""
    rows = []
    for name, field, said, most in FIGURES:
        values = [float(value) for value in items(course, field)]
        told = [value for value in values if value >= 0]
        if told:
            top = most or max(max(told), 1.0)
            drawn = _narrowed(values, width)
            mean = sum(told) / len(told)
            rows.append((name, said(mean), said(max(told)), spark(drawn, len(drawn), top).rstrip()))
    long_s = number(course, "width_s") * max((len(items(course, field)) for _, field, _, _ in FIGURES), default=0)
    return Table(f"Use of its machines in {duration(long_s)}", COURSE_COLUMNS, tuple(rows))


def _narrowed(values: Sequence[float], width: int) -> list[float]:
    """At most ``width`` of them: means of neighbours."""
    each = max(-(-len(values) // width), 1)
    groups = [values[place : place + each] for place in range(0, len(values), each)]
    return [_mean([value for value in group if value >= 0]) for group in groups]


def _mean(told: Sequence[float]) -> float:
    return sum(told) / len(told) if told else -1.0


def _percent(part: float) -> str:
    return f"{100 * part:.0f}%"


# (what people read, the API's field, how a figure is said, the top of the drawing; 0: the most there was)
FIGURES: tuple[tuple[str, str, Callable[[float], str], float], ...] = (
    ("processors", "cpu", _percent, 1.0),
    ("GPUs", "gpu", _percent, 1.0),
    ("memory", "memory_mib", mebibytes, 0.0),
    ("GPU memory", "gpu_memory_mib", mebibytes, 0.0),
)
