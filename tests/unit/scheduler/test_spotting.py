"""Spot under a deadline: no deadline is missed that could be kept, and little is paid for it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beowulf.model.cloud import Market
from beowulf.scheduler.spotting import DEFAULT_POLICY, SPOT_POLICIES, Race, market_now

sys.path.insert(0, str(Path(__file__).parents[3] / "scripts" / "bench"))

from burst_spot import Case, Series, made_series, optimum, ours
from uniform_progress import uniform_progress

GAP = 300.0
RACE = Race(0.0, 20_000.0, 0.0, 10_000.0, 300.0, None, True, look_s=GAP)
ticks = st.lists(st.integers(0, 1), min_size=10, max_size=120)
cases = st.builds(
    lambda work, slack, change: Case(work * GAP, (work + 2 * change + slack) * GAP, change * GAP, 0.3),
    st.integers(5, 30), st.integers(1, 40), st.integers(1, 3),
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(ticks, cases, st.sampled_from(sorted(SPOT_POLICIES)))
def test_no_deadline_is_missed_and_nobody_beats_the_optimum(there: list[int], case: Case, policy: str) -> None:
    series = Series("drawn", GAP, tuple(there))
    bill = ours(series, 0, case, policy)
    assert not bill.late
    assert bill.cost >= optimum(series, 0, case) - 1e-6


@settings(max_examples=100, deadline=None)
@given(ticks, cases)
def test_the_peer_misses_none_either(there: list[int], case: Case) -> None:
    args = (case.length_s, case.deadline_s, case.changeover_s, case.spot_price)
    bill = uniform_progress(there, GAP, *args)
    assert not bill.late and bill.cost >= optimum(Series("drawn", GAP, tuple(there)), 0, case) - 1e-6


@pytest.mark.parametrize("tight", [1.15, 1.5, 2.0])
def test_it_costs_no_more_than_uniform_progress(tight: float) -> None:
    mine = theirs = 0.0
    for part, hours in ((0.3, 1.0), (0.6, 2.0), (0.8, 4.0)):
        series = made_series(11, part, hours * 3600.0, days=12)
        case = Case(86_400.0, 86_400.0 * tight, 300.0, 0.3)
        for at in range(0, 1800, 300):
            mine += ours(series, at, case, DEFAULT_POLICY).cost
            args = (case.length_s, case.deadline_s, case.changeover_s, case.spot_price)
            theirs += uniform_progress(series.there[at:], series.gap_s, *args).cost
    assert mine <= theirs


def test_what_each_policy_does_with_a_choice() -> None:
    absent = replace(RACE, spot=False)
    behind = replace(absent, elapsed_s=6000.0)
    late = replace(absent, elapsed_s=9800.0)
    wants = {
        "on-demand": (Market.ON_DEMAND, Market.ON_DEMAND, Market.ON_DEMAND),
        "late": (Market.SPOT, None, None),
        "uniform": (Market.SPOT, None, Market.ON_DEMAND),
        "foreseen": (Market.SPOT, None, Market.ON_DEMAND),
    }
    for name, policy in SPOT_POLICIES.items():
        assert tuple(market_now(race, policy) for race in (RACE, absent, behind)) == wants[name], name
        assert market_now(late, policy) is Market.ON_DEMAND  # the safety net
    rich = replace(behind, elapsed_s=5500.0, seen_s=1e6, seen_spot_s=0.99e6)
    assert market_now(rich, SPOT_POLICIES["foreseen"]) is None  # spot will do all of it


def test_work_that_goes_with_the_machine_needs_slack_of_its_own() -> None:
    tight = replace(RACE, elapsed_s=8000.0)
    assert market_now(tight, SPOT_POLICIES["late"]) is Market.SPOT
    assert market_now(replace(tight, lost_s=10_000.0), SPOT_POLICIES["late"]) is Market.ON_DEMAND
