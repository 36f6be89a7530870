"""Tables on terminals: no line is longer than it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from beowulf.views.text import NARROWEST, fitted


@given(st.lists(st.integers(1, 200), min_size=1, max_size=10), st.integers(1, 300))
def test_the_widest_give_way_first(widths: list[int], room: int) -> None:
    cut = fitted(widths, room)
    fits = sum(cut) + 2 * (len(cut) - 1) <= room
    assert fits or max(cut) <= NARROWEST
    assert all(new == old or new == max(cut) for new, old in zip(cut, widths, strict=True))
    assert fitted(widths, 0) == widths


def test_no_more_is_cut_than_must_be() -> None:
    assert fitted([5, 60, 10], 60) == [5, 41, 10]
    assert fitted([5, 10], 17) == [5, 10]
