"""Replays as one SVG: threads in use and jobs that wait over time, one line per policy. Needs no drawing library."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TypeAlias

from beowulf.sim.outcome import Outcome

COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b")
WIDTH, PANEL, LEFT, GAP = 960, 220, 70, 50
POINTS = 600


Panel: TypeAlias = tuple[str, Callable[[tuple[float, int, int]], int]]
PANELS: tuple[Panel, ...] = (("threads in use", lambda point: point[1]), ("jobs waiting", lambda point: point[2]))


def svg(outcomes: Mapping[str, Outcome]) -> str:
    """``outcomes`` by the name of their policy."""
    spans = [(one.busy[0][0], one.busy[-1][0]) for one in outcomes.values() if one.busy]
    begin, end = min((span[0] for span in spans), default=0.0), max((span[1] for span in spans), default=1.0)
    parts: list[str] = []
    for panel, (title, value_of) in enumerate(PANELS):
        top = GAP + panel * (PANEL + GAP)
        most = max((value_of(point) for one in outcomes.values() for point in one.busy), default=1) or 1
        parts += _frame(title, top, most, (end - begin) / 3600.0)
        for number, one in enumerate(outcomes.values()):
            points = [(point[0] - begin, value_of(point)) for point in one.busy]
            path = _path(points, end - begin or 1.0, most, top)
            parts.append(f'<path d="{path}" fill="none" stroke="{COLOURS[number % len(COLOURS)]}"/>')
    for number, name in enumerate(outcomes):
        x = LEFT + 150 * number
        parts.append(f'<text x="{x}" y="20" fill="{COLOURS[number % len(COLOURS)]}">{escape(name)}</text>')
    height = 2 * (PANEL + GAP) + GAP
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif"'
    return "\n".join([f'{head} font-size="13">', '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>\n"])


def _frame(title: str, top: int, most: int, hours: float) -> list[str]:
    box = f'<rect x="{LEFT}" y="{top}" width="{WIDTH - LEFT - 20}" height="{PANEL}" fill="none" stroke="#999"/>'
    return [
        box,
        f'<text x="{LEFT}" y="{top - 6}">{title}</text>',
        f'<text x="{LEFT - 6}" y="{top + 12}" text-anchor="end">{most}</text>',
        f'<text x="{LEFT - 6}" y="{top + PANEL}" text-anchor="end">0</text>',
        f'<text x="{WIDTH - 20}" y="{top + PANEL + 16}" text-anchor="end">{hours:.4g} h</text>',
    ]


def _path(points: Sequence[tuple[float, int]], span: float, most: int, top: int) -> str:
    """Steps; of the points that fall on one pixel the last counts."""
    columns = {int(at / span * POINTS): value for at, value in points}
    words, last = [], 0
    for column, value in sorted(columns.items()):
        x = LEFT + column / POINTS * (WIDTH - LEFT - 20)
        words += [
            f"L{x:.1f} {top + PANEL - last / most * PANEL:.1f}",
            f"L{x:.1f} {top + PANEL - value / most * PANEL:.1f}",
        ]
        last = value
    return f"M{LEFT} {top + PANEL}" + " ".join(words)
