"""Which market the next attempt of a job with a deadline goes to: one table entry per policy.

A `Race` is a job between spot machines, which come and go, and its deadline. A policy answers with the market to be on
now, or None: wait for spot, which costs nothing. Changing over to another machine takes time and does no work.

The safety net is all policies' alike, and keeps every deadline that can be kept: once what is left of the time is just
enough to change over and do the rest on demand, nothing else is done any more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from beowulf.model.cloud import Market


@dataclass(frozen=True, slots=True)
class Race:
    """Times in seconds; work in seconds of running. ``seen_s``, ``seen_spot_s``: how long spot was watched, and there.

    ``lost_s`` is the work that goes with a machine that is taken back. ``look_s``: the next decision comes so late.
    """

    elapsed_s: float
    deadline_s: float  # in all, from the begin
    done_s: float
    length_s: float  # in all
    changeover_s: float
    on: Market | None
    spot: bool  # there is one to be had, or to be kept
    lost_s: float = 0.0
    look_s: float = 0.0
    seen_s: float = 0.0
    seen_spot_s: float = 0.0

    @property
    def left_s(self) -> float:
        return self.length_s - self.done_s

    @property
    def slack_s(self) -> float:
        """What is left of the time beyond the work."""
        return self.deadline_s - self.elapsed_s - self.left_s

    @property
    def spot_part(self) -> float:
        """Of the time to come, spot will be there: as seen so far, with an hour of half and half before."""
        return (self.seen_spot_s + PRIOR_S / 2) / (self.seen_s + PRIOR_S)


PRIOR_S = 3600.0
LONG = 6  # changeovers ahead of the line before on demand is left for nothing
SpotPolicy: TypeAlias = Callable[[Race], Market | None]


def on_demand(race: Race) -> Market | None:
    return Market.ON_DEMAND


def late(race: Race) -> Market | None:
    """Spot whenever there is any, and nothing else before the safety net."""
    return Market.SPOT if race.spot else None


def uniform(race: Race) -> Market | None:
    """Uniform Progress (Wu et al., Can't Be Late, NSDI 2024): never behind the straight line from begin to deadline.

    On demand it stays until it is so far ahead that a changeover cannot bring it behind again.
    """
    pace = race.length_s / race.deadline_s
    if race.on is Market.ON_DEMAND:
        ahead = race.done_s >= (race.elapsed_s + 2 * race.changeover_s) * pace
        return Market.ON_DEMAND if not ahead else late(race)
    if race.spot:
        return Market.SPOT
    return Market.ON_DEMAND if race.done_s < race.elapsed_s * pace else None


def foreseen(race: Race) -> Market | None:
    """As `uniform`, but on demand only for what spot will not do in the time left, as far as its past tells; and long.

    What spot cannot do has to be paid for in any case, and paying for it in one long gap saves changeovers. Spot is
    taken whenever it comes: what was not on the line before is not behind it because of one changeover more.
    """
    if race.spot:
        return Market.SPOT
    ahead_s = LONG * race.changeover_s if race.on is Market.ON_DEMAND else 0.0
    behind = race.done_s < (race.elapsed_s + ahead_s) * race.length_s / race.deadline_s
    if race.on is Market.ON_DEMAND:
        return Market.ON_DEMAND if behind else None
    short = race.left_s > race.spot_part * (race.deadline_s - race.elapsed_s)
    return Market.ON_DEMAND if behind and short else None


SPOT_POLICIES: dict[str, SpotPolicy] = {
    "on-demand": on_demand,
    "late": late,
    "uniform": uniform,
    "foreseen": foreseen,
}
DEFAULT_POLICY = "foreseen"


def market_now(race: Race, policy: SpotPolicy) -> Market | None:
    """The policy's answer, as far as the safety net lets it. None once the work is done, too."""
    if race.left_s <= 0.0:
        return None
    wish = policy(race)
    return wish if race.slack_s >= needed_s(race, wish) else Market.ON_DEMAND


def needed_s(race: Race, wish: Market | None) -> float:
    """The slack without which this may end late: what it takes itself, and one changeover to be safe after it."""
    if wish is Market.ON_DEMAND:
        return 0.0
    if wish is None:
        return race.changeover_s + race.look_s
    changeovers = 1 if race.on is Market.SPOT else 2
    return changeovers * race.changeover_s + race.lost_s
