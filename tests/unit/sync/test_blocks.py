from __future__ import annotations

import io
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from beowulf.agent import bulk_blocks
from beowulf.agent.bulk_blocks import BLOCK, block_names, plan


def rebuilt(old: bytes, new: bytes) -> tuple[bytes, int]:
    """What the node makes of the plan, and how many bytes travel."""
    steps = plan(io.BytesIO(new), len(new), block_names(io.BytesIO(old), len(old)), len(old))
    parts = [(old if kind == "c" else new)[offset : offset + length] for kind, offset, length in steps]
    return b"".join(parts), sum(length for kind, _, length in steps if kind == "d")


edits = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 60), st.binary(max_size=60)), max_size=4)


@settings(max_examples=200)
@given(st.binary(max_size=200), edits)
def test_any_edit_is_rebuilt_exactly(old: bytes, changes: list[tuple[int, int, bytes]]) -> None:
    new = old
    for at, removed, added in changes:
        new = new[:at] + added + new[at + removed :]
    whole = bulk_blocks.BLOCK
    bulk_blocks.BLOCK = 16
    try:
        assert rebuilt(old, new)[0] == new
    finally:
        bulk_blocks.BLOCK = whole


def test_one_change_costs_about_its_place_wherever_it_is() -> None:
    old = random.Random(1).randbytes(40 * BLOCK + 777)
    middle = len(old) // 2
    for new in (
        old + b"line\n",
        b"line\n" + old,
        old[:middle] + b"line\n" + old[middle:],
        old[:middle] + old[middle + 9 :],
    ):
        content, travelled = rebuilt(old, new)
        assert content == new and travelled <= 2 * BLOCK + 5
    assert rebuilt(old, old) == (old, 777 if len(old) % BLOCK else 0) or rebuilt(old, old)[1] <= BLOCK
