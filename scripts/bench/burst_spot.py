"""One job, one deadline, one series of spot's availability: what each policy pays, and the least anybody could."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from beowulf.model.cloud import Market
from beowulf.scheduler.spotting import SPOT_POLICIES, Race, market_now


@dataclass(frozen=True)
class Series:
    name: str
    gap_s: float
    there: tuple[int, ...]

    @property
    def part(self) -> float:
        return sum(map(bool, self.there)) / len(self.there)


@dataclass(frozen=True)
class Case:
    """On demand costs 1 a second. ``changeover_s`` is a whole number of gaps, so that the optimum is exact."""

    length_s: float
    deadline_s: float
    changeover_s: float
    spot_price: float


@dataclass(frozen=True)
class Bill:
    cost: float
    late: bool


def read_series(path: Path) -> Series:
    """``{"metadata": {"gap_seconds": N}, "data": [capacity per tick]}``"""
    found = json.loads(path.read_text())
    return Series(path.stem, float(found["metadata"]["gap_seconds"]), tuple(int(n > 0) for n in found["data"]))


def made_series(seed: int, part: float, mean_up_s: float, days: int = 30, gap_s: float = 300.0) -> Series:
    """Up and down times are exponential, which is what the planner assumes and the world only resembles."""
    chance = random.Random(f"{seed} {part} {mean_up_s}")
    mean_down_s = mean_up_s * (1.0 - part) / part
    there: list[int] = []
    up = chance.random() < part
    while len(there) * gap_s < days * 86400.0:
        lasts = chance.expovariate(1.0 / (mean_up_s if up else mean_down_s))
        there += [int(up)] * max(1, round(lasts / gap_s))
        up = not up
    return Series(f"made-{part:g}-{mean_up_s / 3600:g}h", gap_s, tuple(there))


def ours(series: Series, begin: int, case: Case, policy: str) -> Bill:
    """The job from tick ``begin`` on; spot's past before it is known, as the head has watched it."""
    gap, there = series.gap_s, series.there
    decide = SPOT_POLICIES[policy]
    past = there[max(0, begin - int(7 * 86400.0 / gap)) : begin]
    seen, seen_spot = len(past), sum(past)
    done, cost, warm, tick = 0.0, 0.0, 0.0, begin
    on: Market | None = None
    used = 0.0
    while done < case.length_s - 1e-9:
        spot = tick < len(there) and bool(there[tick])
        if on is Market.SPOT and not spot:
            on = None
        race = Race(
            (tick - begin) * gap, case.deadline_s, done, case.length_s, case.changeover_s, on, spot,
            look_s=gap, seen_s=seen * gap, seen_spot_s=seen_spot * gap,
        )  # fmt: skip
        wish = market_now(race, decide)
        if wish is Market.SPOT and not spot:
            wish = None
        if wish is not None and wish is not on:
            warm = case.changeover_s
        on = wish
        used = gap
        if on is not None:
            starting = min(gap, warm)
            working = min(gap - starting, case.length_s - done)
            warm, done = warm - starting, done + working
            used = starting + working if done >= case.length_s - 1e-9 else gap
            cost += (starting + working) * (case.spot_price if on is Market.SPOT else 1.0)
        seen, seen_spot, tick = seen + 1, seen_spot + spot, tick + 1
    return Bill(cost, (tick - 1 - begin) * gap + used > case.deadline_s + 1e-6)


def optimum(series: Series, begin: int, case: Case) -> float:
    """The least cost with all of the series known: dynamic programming over (tick, work left, machine)."""
    gap = series.gap_s
    ticks, work, change = (round(one / gap) for one in (case.deadline_s, case.length_s, case.changeover_s))
    there = series.there[begin : begin + ticks]
    # cost[mode][overhead left][work left]; mode 0: none. From behind.
    none = np.full(work + 1, np.inf)
    none[0] = 0.0
    spot = np.full((change + 1, work + 1), np.inf)
    demand = np.full((change + 1, work + 1), np.inf)
    spot[:, 0] = demand[:, 0] = 0.0
    for tick in range(ticks - 1, -1, -1):
        price = case.spot_price * gap if tick < len(there) and there[tick] else np.inf
        on_spot, on_demand = run(spot, price), run(demand, gap)
        start_spot, start_demand = on_spot[change], on_demand[change]
        anew = np.minimum(np.minimum(none, start_spot), start_demand)
        anew[0] = 0.0
        spot = np.minimum(on_spot, anew)
        demand = np.minimum(on_demand, anew)
        none = anew
    return float(none[work])


def run(after: np.ndarray, price: float) -> np.ndarray:
    """One tick on such a machine: overhead first, then work."""
    found = np.full_like(after, np.inf)
    found[0, 1:] = price + after[0, :-1]
    found[1:, :] = price + after[:-1, :]
    found[:, 0] = 0.0
    return found


def begins(series: Series, case: Case, most: int) -> Sequence[int]:
    """Evenly spread, as many as fit with the whole deadline inside the series."""
    last = len(series.there) - int(case.deadline_s / series.gap_s)
    return [last * number // most for number in range(most)] if last > 0 else []
