"""When a low clock is why a rank computes longer: a reason, or other ranks' clocks, and enough of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beowulf.split.clocks import REASONS, Clock, gpu_reason, low_clock, read_clock

FREE = (Clock(1.0), Clock(1.0))
HEAT = (("heat", 0.8), ("limit", 0.3))


@pytest.mark.parametrize(
    ("mine", "others", "said"),
    [
        (Clock(0.5, HEAT), FREE, "its processor runs at 50 % of its clock, slowed by heat"),
        (Clock(0.0, HEAT), FREE, "its processor is slowed by heat"),
        (Clock(0.5), FREE, "its processor runs at 50 % of its clock, the others' at 100 %"),
        (Clock(0.5, (("heat", 0.05),)), FREE, "its processor runs at 50 % of its clock, the others' at 100 %"),
        (Clock(0.5, HEAT), (Clock(),), "its processor runs at 50 % of its clock, slowed by heat"),
        (Clock(0.5), (Clock(),), ""),  # all-core clocks are lower than the best one: alone that says nothing
        (Clock(0.5), (Clock(0.5), Clock(0.52)), ""),  # all alike
        (Clock(0.9, HEAT), FREE, ""),  # hot, but that is not what makes it twice as slow
        (Clock(1.0), FREE, ""),
        (Clock(), FREE, ""),
    ],
)
def test_a_rank_that_computes_two_seconds_where_others_need_one(mine: Clock, others: list[Clock], said: str) -> None:
    assert low_clock(mine, others, compute_s=2.0, excess_s=1.0) == said


def test_reports_and_drivers_are_read() -> None:
    assert read_clock({"clock": 0.5, "heat": 0.25, "limit": 0.0, "loss": 3.0}) == Clock(0.5, (("heat", 0.25),))
    assert [gpu_reason(bits) for bits in (0x0, 0x4, 0x8, 0x20, 0x40, 0x80, 0x44)] == [
        *("", "", "protection", "heat", "heat", "supply", "heat")
    ]


PARTS = st.floats(0, 1)
CLOCKS = st.builds(Clock, PARTS, st.lists(st.tuples(st.sampled_from(sorted(REASONS)), PARTS)).map(tuple))


@given(CLOCKS, st.lists(CLOCKS), st.floats(0.001, 10), st.floats(0.001, 10))
def test_what_is_blamed_explains_half_of_it_at_least(
    mine: Clock, others: list[Clock], compute_s: float, excess_s: float
) -> None:
    said = low_clock(mine, others, compute_s, excess_s)
    if said and mine.part:
        usual = max([one.part for one in others if one.part] or [1.0])
        assert compute_s * (1 - mine.part / usual) >= 0.5 * excess_s
    if said and not mine.reason:
        assert any(one.part > mine.part for one in others)
