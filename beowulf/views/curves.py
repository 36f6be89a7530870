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
    """``at``: optimizer steps where ranks tell them, else seconds since the first report."""

    name: str
    at: tuple[float, ...]
    values: tuple[float, ...]

    @property
    def newest(self) -> float:
        return self.values[-1]


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
    return [Curve(name, *map(tuple, zip(*points[name], strict=True))) for name in names]


def _step(body: Mapping[str, object], otherwise: float) -> float:
    step = body.get("step")
    return float(step) if isinstance(step, (int, float)) else otherwise
