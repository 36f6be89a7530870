"""Where the labels of a drawing's axes stand: evenly apart, at whole rows, and at round numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

ROUND = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
MOST_LABELS = 6
LABEL_WIDTH = 7  # so that curves of one drawing begin in one column
ALONG = 14  # columns from one label to the next, at least
ROUNDING = 1e-9  # a part of a step
FLAT = 1e-6  # what differs by less than this part of itself does not differ
LEAST = 1e-200


class Axis(NamedTuple):
    low: float
    high: float
    ticks: tuple[float, ...]
    labels: tuple[str, ...]


def upright(low: float, high: float, rows: int) -> Axis:
    """An axis of ``rows`` lines that holds all from ``low`` to ``high``, with a label every so many lines."""
    low, high = _apart(low, high)
    gaps = max(rows - 1, 1)
    fitting = [every for every in range(1, gaps + 1) if gaps // every < MOST_LABELS and (every > 1 or gaps <= 3)]
    return min((_with_label_every(every, low, high, gaps) for every in fitting), key=_room_taken)


def lengthwise(low: float, high: float, columns: int, *, whole: bool) -> Axis:
    """From ``low`` to ``high`` exactly; ``whole``: only whole numbers have labels."""
    low, high = _apart(low, high)
    least = (high - low) * ALONG / max(columns, 1)
    step = next(step for step in _steps(max(least, 1.0 if whole else 0.0)) if not whole or step == int(step))
    first = math.ceil(low / step - ROUNDING)
    ticks = [number * step for number in range(first, math.floor(high / step + ROUNDING) + 1)]
    return Axis(low, high, tuple(ticks), tuple(_label(tick, step) for tick in ticks))


def _apart(low: float, high: float) -> tuple[float, float]:
    """A line that goes straight along stands in the middle."""
    if high - low > FLAT * max(abs(low), abs(high), LEAST):
        return low, high
    half = max(abs(low), abs(high)) / 2
    return (low - half, high + half) if half > LEAST else (low - 0.5, high + 0.5)


def _with_label_every(lines: int, low: float, high: float, gaps: int) -> Axis:
    for step in _steps((high - low) * lines / gaps):
        begin = math.floor(low / step + ROUNDING)
        end = (begin + gaps / lines) * step
        if end >= high - ROUNDING * step:
            break
    ticks = [(begin + number) * step for number in range(gaps // lines + 1)]
    return Axis(begin * step, end, tuple(ticks), tuple(_label(tick, step).rjust(LABEL_WIDTH) for tick in ticks))


def _room_taken(axis: Axis) -> tuple[float, int]:
    """The span in which the same curve is drawn, a fifth more where only its ends are labelled."""
    return (axis.high - axis.low) * (1.2 if len(axis.ticks) < 3 else 1.0), -len(axis.ticks)


def _steps(least: float) -> Iterator[float]:
    """Round numbers, from ``least`` on."""
    power = math.floor(math.log10(least))
    while True:
        yield from (number * 10.0**power for number in ROUND if number * 10.0**power >= least * (1 - ROUNDING))
        power += 1


def _label(value: float, step: float) -> str:
    """With as many digits as tell its neighbours apart."""
    if max(abs(value), step) >= 1e6 or step < 1e-4:
        return f"{value:.3g}"
    digits = next(digits for digits in range(7) if abs(round(step, digits) - step) <= ROUNDING * step)
    return f"{value:.{digits}f}"
