"""All GPUs at a glance: where each one's cell is drawn, and what is written in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from beowulf.views.bars import level
from beowulf.views.gpus import HOT_C, MOST_POWER_W, GpuNow

WIDTHS = (5, 3, 2, 1)  # of a cell: the widest of which all fit
MOST_LABEL = 16
WITH_A_FIGURE = 3  # from this width on a cell has room for one
GAP = 1


class Measure(NamedTuple):
    field: str  # of `GpuNow`
    unit: str
    most: float  # what 1 stands for, in that unit


MEASURES: Mapping[str, Measure] = {
    "use": Measure("use", "%", 100.0),
    "memory": Measure("memory", "%", 100.0),
    "temperature": Measure("heat", "°C", HOT_C),
    "power": Measure("power", "W", MOST_POWER_W),
}


class HeatMap(NamedTuple):
    """``places``: line and column of each cell; ``lines``: its first cell and the one after its last."""

    cell: int
    label: int
    places: tuple[tuple[int, int], ...]
    lines: tuple[tuple[int, int], ...]

    def cell_at(self, line: int, column: int) -> int:
        """The nearest one of that line to the left; -1 where there is no such line."""
        if not 0 <= line < len(self.lines):
            return -1
        first, end = self.lines[line]
        return max((at for at in range(first, end) if self.places[at][1] <= column), default=first)


def heat_map(nodes: Sequence[tuple[str, int]], width: int, height: int) -> HeatMap:
    """``nodes``: name and number of GPUs. A line per node where there is room for that, else side by side."""
    if len(nodes) <= height:
        alone = _packed(nodes, width, WIDTHS[0], alone=True)
        if len(alone.lines) <= height:
            return alone
    for cell in WIDTHS:
        packed = _packed(nodes, width, cell, alone=False)
        if len(packed.lines) <= height:
            break
    return packed


def _packed(nodes: Sequence[tuple[str, int]], width: int, cell: int, *, alone: bool) -> HeatMap:
    label = min(max((len(name) for name, _ in nodes), default=0), MOST_LABEL)
    start = column = label + 2
    places: list[tuple[int, int]] = []
    begins: list[int] = []
    for _, gpus in nodes:
        if alone or (column > start and column + gpus * cell > width):
            column = start
        for _ in range(gpus):
            if column > start and column + cell > width:
                column = start
            if column == start:
                begins.append(len(places))
            places.append((len(begins) - 1, column))
            column += cell
        column += GAP
    ends = [*begins[1:], len(places)]
    return HeatMap(cell, label, tuple(places), tuple(zip(begins, ends, strict=False)))


def part_of(gpu: GpuNow, measure: str) -> float:
    """0 … 1, -1 where nobody told."""
    return float(getattr(gpu, MEASURES[measure].field))


def heat_cell(gpu: GpuNow, measure: str, width: int) -> str:
    """A figure where there is room for one, else a level; ``!`` of what is out of order, ``·`` where nobody told."""
    part = part_of(gpu, measure)
    if gpu.state == "FAILED":
        return "!".center(width)
    if part < 0:
        return "·".center(width)
    return f"{part * MEASURES[measure].most:3.0f}".center(width) if width >= WITH_A_FIGURE else level(part) * width


def average(gpus: Sequence[GpuNow], measure: str) -> str:
    """``49 %``; "" where nothing is told."""
    told = [part for gpu in gpus if (part := part_of(gpu, measure)) >= 0]
    return f"{sum(told) / len(told) * MEASURES[measure].most:.0f} {MEASURES[measure].unit}" if told else ""
