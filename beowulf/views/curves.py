"""What ranks reported over time, as series to draw: loss, accuracy, throughput."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from beowulf.split.clocks import FIELDS as CLOCKS
from beowulf.views.fields import Json, inner, number
from beowulf.views.text import printable

NOT_DRAWN = frozenset(
    {"rank", "step", "epoch", "k", "samples", "compute_s", "input_s", "sync_s", *CLOCKS, "time", "at"}
)
FIRST = ("loss", "accuracy", "samples_per_s", "step_s")


class Curve(NamedTuple):
    """``at`` are optimizer steps where ranks tell them, else seconds since the first report, or what ``along`` says.

    ``values``: None where nothing is known. ``most``: where a drawing ends that begins at 0; 0: as the values come.
    """

    name: str
    at: tuple[float, ...]
    values: tuple[float | None, ...]
    along: str = ""
    most: float = 0.0

    @property
    def newest(self) -> float:
        return next(value for value in reversed(self.values) if value is not None)


def curves(reports: Sequence[Json]) -> list[Curve]:
    """Of rank 0, or the lowest rank that reported; loss and accuracy first. ``reports``: oldest first."""
    if not reports:
        return []
    rank = min(int(number(report, "rank")) for report in reports)
    own = [report for report in reports if int(number(report, "rank")) == rank]
    began = number(own[0], "at")
    points: dict[str, list[tuple[float, float]]] = {}
    for report in own:
        body = inner(report, "body")
        at = _step(body, number(report, "at") - began)
        for name, value in body.items():
            if name not in NOT_DRAWN and isinstance(value, (int, float)) and not isinstance(value, bool):
                points.setdefault(printable(name), []).append((at, float(value)))
    names = sorted(points, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))
    return [Curve(name, *_columns(points[name])) for name in names]


def _columns(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(at for at, _ in points), tuple(value for _, value in points)


def _step(body: Mapping[str, object], otherwise: float) -> float:
    step = body.get("step")
    return float(step) if isinstance(step, (int, float)) else otherwise
