"""Axes of drawings: labels at whole rows, evenly apart, round, and nothing is drawn outside."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beowulf.views.axes import MOST_LABELS, lengthwise, upright

FIGURES = st.floats(-1e9, 1e9, allow_nan=False).map(lambda value: round(value, 6))


@given(FIGURES, st.floats(0, 1e9), st.integers(-2, 60))
def test_every_label_stands_at_a_whole_row_and_all_have_the_same_distance(low: float, more: float, rows: int) -> None:
    high = low + more
    axis = upright(low, high, rows)
    span = axis.high - axis.low
    assert axis.low <= low + 1e-6 * span and high <= axis.high + 1e-6 * span
    assert 1 <= len(axis.ticks) == len(axis.labels) <= MOST_LABELS
    places = [(tick - axis.low) / span * max(rows - 1, 1) for tick in axis.ticks]
    assert all(abs(place - round(place)) < 1e-3 for place in places)
    assert len({round(after) - round(before) for before, after in pairwise(places)}) <= 1


@pytest.mark.parametrize(
    ("low", "high", "rows", "labels"),
    [
        (0.0, 100.0, 11, ["0", "20", "40", "60", "80", "100"]),
        (0.0, 100.0, 5, ["0", "50", "100"]),
        (0.0, 100.0, 2, ["0", "100"]),
        (0.2235, 1.69, 6, ["0.0", "0.8", "1.6"]),
        (5.0, 5.0, 3, ["2.5", "5.0", "7.5"]),
    ],
)
def test_labels_are_numbers_that_people_can_add_up(low: float, high: float, rows: int, labels: list[str]) -> None:
    assert [label.strip() for label in upright(low, high, rows).labels] == labels


@given(FIGURES, st.floats(1e-3, 1e9), st.integers(-2, 200), st.booleans())
def test_what_stands_along_stays_within_its_ends(low: float, more: float, columns: int, whole: bool) -> None:
    axis = lengthwise(low, low + more, columns, whole=whole)
    assert axis.low <= low and low + more <= axis.high
    assert more <= 1e-5 * abs(low) or (axis.low, axis.high) == (low, low + more)
    low, more = axis.low, axis.high - axis.low
    assert all(low - 1e-6 * more <= tick <= low + more + 1e-6 * more for tick in axis.ticks)
    assert not whole or all(tick == int(tick) for tick in axis.ticks)


def test_steps_are_counted_in_whole_ones() -> None:
    assert lengthwise(1, 60, 70, whole=True).labels == ("15", "30", "45", "60")
    assert lengthwise(1, 2, 70, whole=True).labels == ("1", "2")
