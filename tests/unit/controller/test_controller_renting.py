"""Rented machines under crashes, lost replies and foul weather: none too many, none left, no cent over the cap.

A seed that fails is replayed by ``scripts/bench/leaks --seed N``.
"""

from __future__ import annotations

import pytest
from rented_world import PLANTED, Tally, run_seed

SEEDS = 50


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_leaks(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tally = run_seed(seed, monkeypatch)
    assert tally.clean, tally


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS, 1000))
def test_nothing_leaks_in_the_long_run(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tally = run_seed(seed, monkeypatch)
    assert tally.clean, tally


@pytest.mark.parametrize("planted", PLANTED)
def test_planted_defects_show(planted: str) -> None:
    total = Tally()
    for seed in range(SEEDS):
        with pytest.MonkeyPatch.context() as patch:
            total.add(run_seed(seed, patch, planted))
        if not total.clean:
            break
    shown = {
        "no-token": total.duplicates,
        "late-intent": total.duplicates,
        "early-store": total.wanted_destroyed,
        "no-dead-man": total.orphans,
        "no-budget": total.cents_over_cap,
    }
    assert shown[planted] > 0, total
