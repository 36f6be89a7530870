"""Tables on terminals: no line is longer than it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from beowulf.views.text import NARROWEST, fitted


@given(st.lists(st.integers(1, 200), min_size=1, max_size=10), st.sets(st.integers(0, 9)), st.integers(1, 300))
def test_free_text_gives_way_and_nothing_else(widths: list[int], free: set[int], room: int) -> None:
    free = {place for place in free if place < len(widths)}
    cut = fitted(widths, room, free)
    loose = [width for place, width in enumerate(cut) if place in free]
    fits = sum(cut) + 2 * (len(cut) - 1) <= room
    assert fits or max(loose, default=0) <= NARROWEST
    for place, (new, old) in enumerate(zip(cut, widths, strict=True)):
        assert new == old or (place in free and new == max(loose))
    assert fitted(widths, 0, free) == widths


def test_no_more_is_cut_than_must_be() -> None:
    assert fitted([5, 60, 10], 60, [1]) == [5, 41, 10]
    assert fitted([5, 60, 10], 20, [0, 1]) == [5, NARROWEST, 10]
    assert fitted([5, 60], 20, []) == [5, 60]
