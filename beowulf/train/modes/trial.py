"""Which mode is cheapest here? A few steps of each, as a value: times go in, the next turn or the verdict comes out."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

WARM_STEPS = 10  # in exact: buckets are laid out anew, and the split of the batch finds its place
SETTLING = 1  # steps after a change of mode that are not counted
COUNTED = 4
MARGIN = 0.05  # a less exact mode must be cheaper by more than this


@dataclass(frozen=True)
class Turn:
    """One optimizer step: in which mode, whether it ends with parameters being shared, and whether its time counts."""

    mode: str
    shares: bool = False
    counts: bool = False


def turns(periods: Mapping[str, int], warm_steps: int = WARM_STEPS) -> tuple[Turn, ...]:
    """The steps of a trial of these modes (name → period, 0 where gradients are shared at every step).

    The last turn of a mode with a period shares parameters, so that the next mode begins with equal ones.
    """
    plan = [Turn("exact")] * warm_steps
    for mode, period in periods.items():
        plan += [Turn(mode)] * SETTLING + [Turn(mode, counts=True)] * COUNTED
        plan += [Turn(mode, shares=True, counts=True)] if period else []
    return tuple(plan)


@dataclass(frozen=True)
class Trial:
    """``seconds``: how long the turns so far took on this rank."""

    periods: Mapping[str, int]
    plan: tuple[Turn, ...]
    seconds: tuple[float, ...] = ()

    @property
    def turn(self) -> Turn:
        return self.plan[len(self.seconds)]

    @property
    def over(self) -> bool:
        return len(self.seconds) == len(self.plan)

    def took(self, seconds: float) -> Trial:
        return replace(self, seconds=(*self.seconds, seconds))

    def costs(self) -> tuple[float, ...]:
        """Seconds per step of each mode on this rank; the sharing of parameters spread over a whole period."""
        return tuple(self._cost(mode, period) for mode, period in self.periods.items())

    def _cost(self, mode: str, period: int) -> float:
        counted = [
            (turn, seconds) for turn, seconds in zip(self.plan, self.seconds) if turn.mode == mode and turn.counts
        ]
        plain = statistics.median(seconds for turn, seconds in counted if not turn.shares)
        if not period:
            return plain
        sharing = sum(seconds for turn, seconds in counted if turn.shares)
        return plain + max(0.0, sharing - plain) / period


def cheapest(modes: Sequence[str], costs: Sequence[float], margin: float = MARGIN) -> str:
    """The most exact mode (they come in that order) that costs at most ``margin`` more than the cheapest one."""
    bound = min(costs) * (1 + margin)
    return next(mode for mode, cost in zip(modes, costs) if cost <= bound)
