"""What ranks reported over time, as series to draw: loss, accuracy, throughput."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from beowulf.split.clocks import FIELDS as CLOCKS
from beowulf.views.fields import Json, inner, number
from beowulf.views.text import printable

NOT_DRAWN = frozenset(
    {"rank", "step", "epoch", "k", "samples", "compute_s", "input_s", "sync_s", *CLOCKS, "time", "at"}
)
FIRST = ("loss", "accuracy", "samples_per_s", "step_s")
UNITS = ((3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))
LARGEST = 1e300
FEW = 5  # of a unit: a shorter drawing counts in the next one


class Curve(NamedTuple):
    """``values``: None where nothing is known. ``most``: what its drawing, from 0 on, has to hold; 0: as they come."""

    name: str
    at: tuple[float, ...]
    values: tuple[float | None, ...]
    along: str  # what ``at`` counts
    most: float = 0.0

    @property
    def newest(self) -> float:
        return next(value for value in reversed(self.values) if value is not None)

    @property
    def bounds(self) -> tuple[float, float]:
        """Where its drawing begins and ends."""
        known = [value for value in self.values if value is not None]
        return (0.0, self.most) if self.most else (min(known), max(known))

    @property
    def whole(self) -> bool:
        return all(at == int(at) for at in self.at)


def span(found: Sequence[Curve]) -> tuple[float, float]:
    """From the first point of all to the last."""
    return min(min(curve.at) for curve in found), max(max(curve.at) for curve in found)


def unit_of(long_s: float) -> tuple[float, str]:
    """The largest unit of which there are a few, in seconds, and its name."""
    return next((one for one in UNITS if long_s >= FEW * one[0]), UNITS[-1])


def curves(reports: Sequence[Json]) -> list[Curve]:
    """Of rank 0, or the lowest rank that reported; loss and accuracy first. ``reports``: oldest first.

    Along the optimizer steps where all of its reports tell them, else along the time.
    """
    if not reports:
        return []
    rank = min(int(number(report, "rank")) for report in reports)
    own = [report for report in reports if int(number(report, "rank")) == rank]
    places, along = _places(own)
    points: dict[str, list[tuple[float, float]]] = {}
    for at, report in zip(places, own, strict=True):
        for name, value in inner(report, "body").items():
            figure = _figure(value)
            if name not in NOT_DRAWN and figure is not None:
                points.setdefault(printable(name), []).append((at, figure))
    names = sorted(points, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))
    return [Curve(name, *_columns(points[name]), along) for name in names]


def _places(reports: Sequence[Json]) -> tuple[list[float], str]:
    steps = [_figure(inner(report, "body").get("step")) for report in reports]
    told = [step for step in steps if step is not None]
    if len(told) == len(steps):
        return told, "step"
    began = number(reports[0], "at")
    unit_s, unit = unit_of(number(reports[-1], "at") - began)
    return [(number(report, "at") - began) / unit_s for report in reports], f"{unit} since the first report"


def _figure(value: object) -> float | None:
    """None for what cannot be drawn: no number, NaN, or an infinite one."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < LARGEST:
        return None
    return float(value)


def _columns(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(at for at, _ in points), tuple(value for _, value in points)
