"""Figures drawn with characters: bars, sparklines, heat."""

from __future__ import annotations

import math
from collections.abc import Sequence

EIGHTHS = " ▏▎▍▌▋▊▉█"
LEVELS = "▁▂▃▄▅▆▇█"


def bar(part: float, width: int) -> str:
    """``part`` (0 … 1) of ``width`` characters filled, to the eighth of one; dots where it is not known (negative)."""
    if part < 0 or not math.isfinite(part):
        return "·" * width
    eighths = round(min(part, 1.0) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (EIGHTHS[rest] if rest else "")).ljust(width)


def spark(values: Sequence[float], width: int, most: float = 1.0) -> str:
    """The newest ``width`` values, a character each, from 0 to ``most``; blanks where there are none, or not known."""
    newest = list(values)[-width:] if width > 0 else []
    return "".join(level(value / most if most > 0 else 0.0) for value in newest).rjust(width)


def level(part: float) -> str:
    if part < 0 or not math.isfinite(part):
        return " "
    return LEVELS[min(int(part * len(LEVELS)), len(LEVELS) - 1)]


def percent(part: float) -> str:
    """`` 87%``; ``  -`` where it is not known."""
    return f"{100 * min(part, 9.99):3.0f}%" if part >= 0 and math.isfinite(part) else "   -"
