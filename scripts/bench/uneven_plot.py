"""Curves as an SVG, drawn by hand: a plot of lines needs no library."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 130, 50, 50
COLOURS = {"stock": "#555555", "exact": "#1f77b4", "fp16": "#2ca02c", "powersgd": "#9467bd", "local-sgd": "#d62728"}


def convergence(curves: Mapping[str, Sequence[Sequence[float]]], file: Path, subtitle: str) -> None:
    """``curves``: by arm, (seconds, steps, loss, …) of each point. Loss on a scale of powers of ten."""
    most_s = max(points[-1][0] for points in curves.values())
    losses = [point[2] for points in curves.values() for point in points]
    low, high = math.floor(math.log10(min(losses))), math.ceil(math.log10(max(losses)))

    def place(seconds: float, loss: float) -> str:
        x = LEFT + (WIDTH - LEFT - RIGHT) * seconds / most_s
        y = TOP + (HEIGHT - TOP - BOTTOM) * (high - math.log10(loss)) / (high - low)
        return f"{x:.1f},{y:.1f}"

    parts = [*_frame(subtitle), *_axes(most_s, low, high)]
    for number, (arm, points) in enumerate(curves.items()):
        colour = COLOURS.get(arm, "#000000")
        line = " ".join(place(point[0], point[2]) for point in points)
        y = TOP + 20 + 22 * number
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 12}" y="{y}" fill="{colour}">{arm}</text>')
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join([*parts, "</svg>", ""]), encoding="utf-8")
    print(f"  {file.name} is written")


def _frame(subtitle: str) -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"',
        '     font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="15">Training loss against seconds: stock DDP and beowulf.train</text>',
        f'<text x="{LEFT}" y="38" fill="#555555">{subtitle}</text>',
    ]


def _axes(most_s: float, low: int, high: int) -> list[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = [f'<path d="M{LEFT},{TOP} V{bottom} H{right}" fill="none" stroke="black"/>']
    for power in range(low, high + 1):
        y = TOP + (bottom - TOP) * (high - power) / (high - low)
        parts.append(f'<path d="M{LEFT},{y:.1f} H{right}" stroke="#dddddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    tick = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500) if most_s / step <= 8)
    for number in range(int(most_s // tick) + 1):
        x = LEFT + (right - LEFT) * number * tick / most_s
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{number * tick}</text>')
    parts.append(f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 12}" text-anchor="middle">seconds of training</text>')
    return parts
