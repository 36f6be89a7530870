"""How busy a job's machines were over its life: a line of characters per figure, or curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from beowulf.views.amounts import duration, mebibytes
from beowulf.views.bars import spark
from beowulf.views.curves import Curve, unit_of
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


def course_curves(course: Json) -> list[Curve]:
    """The same figures for a drawing with axes; none where nothing was seen."""
    width_s, found = number(course, "width_s"), []
    for name, field, _, most in FIGURES:
        values = [float(value) for value in items(course, field)]
        unit_s, unit = unit_of(len(values) * width_s)
        if any(value >= 0 for value in values):
            scale, said = (100.0, "%") if most else (1 / 1024, "GiB")
            shown = tuple(value * scale if value >= 0 else None for value in values)
            at = tuple((place + 0.5) * width_s / unit_s for place in range(len(values)))
            top = max(most or max(values), 1.0) * scale
            found.append(Curve(f"{name}, {said}", at, shown, f"{unit} since it began", top))
    return found


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
