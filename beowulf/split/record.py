"""What is known of one rank's times, and how it fades."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from beowulf.split.fit import Line, fit

WINDOW = 9  # times kept at the present count
OLDER = 3  # other counts remembered
DRIFT = 0.10  # a rank whose level moved by more than this (and its noise) has drifted
SURE_AFTER = 3  # times in a row
FIRST_SPREAD = 0.03  # taken for a time's relative deviation before any was seen
SPREAD_MEMORY = 0.9  # of it stays after each time


def level(times: Sequence[float]) -> float:
    """The lower median: one slow step (a first step, a hiccup) does not count, even among two."""
    return sorted(times)[(len(times) - 1) // 2]


@dataclass(frozen=True)
class Record:
    """A rank's times at its present ``count``, and at ``older`` counts its levels as they would be today.

    ``prior`` is a relative speed's line, used until something was seen; ``anchor_s`` the level the older ones fit to.
    """

    prior: Line
    count: int = 0
    times: tuple[float, ...] = ()
    older: tuple[tuple[int, float], ...] = ()
    anchor_s: float = 0.0
    spread: float = FIRST_SPREAD  # relative standard deviation of one time, as it seems
    drifted: bool = False  # by the latest time

    @property
    def known(self) -> bool:
        return bool(self.times or self.older)

    @property
    def level_s(self) -> float:
        return level(self.times) if self.times else 0.0

    @property
    def noise(self) -> float:
        """Relative error of the level: a median of n times errs by 1.25·σ/√n."""
        return 1.25 * self.spread / math.sqrt(max(1, len(self.times)))

    def line(self) -> Line:
        points = self.older + (((self.count, self.level_s),) if self.times else ())
        return fit(points, self.noise) if points else self.prior

    def noted(self, count: int, seconds: float) -> Record:
        """After a step of ``count`` micro-batches took ``seconds``. Nothing is learnt from a step without any."""
        if count == 0 or seconds <= 0.0:
            return replace(self, drifted=False)
        if count != self.count:
            return Record(self.prior, count, (seconds,), self._put_away(), spread=self.spread)
        record = replace(self, times=(*self.times, seconds)[-WINDOW:], spread=self._spread(seconds), drifted=False)
        if len(record.times) == SURE_AFTER:
            return replace(record, anchor_s=record.level_s)
        return record._moved() or record

    def _spread(self, seconds: float) -> float:
        """With this time's deviation (1.25 times its mean is a normal's σ); a hiccup counts as thrice the usual."""
        usual = abs(seconds - self.level_s) / self.level_s
        return SPREAD_MEMORY * self.spread + (1.0 - SPREAD_MEMORY) * min(1.25 * usual, 3.0 * self.spread + 0.01)

    def _put_away(self) -> tuple[tuple[int, float], ...]:
        if not self.times:
            return self.older
        others = tuple(point for point in self.older if point[0] != self.count)
        return (*others, (self.count, self.level_s))[-OLDER:]

    def _moved(self) -> Record | None:
        """With what was known at other counts brought to a new level, where the latest times agree on one."""
        latest = self.times[-SURE_AFTER:]
        if len(self.times) <= SURE_AFTER or not self.anchor_s:
            return None
        limit = DRIFT + 4.0 * self.noise
        slower = min(latest) > self.anchor_s * (1.0 + limit)
        faster = max(latest) < self.anchor_s / (1.0 + limit)
        if not (slower or faster):
            return None
        now = level(latest)
        older = tuple((count, seconds * now / self.anchor_s) for count, seconds in self.older)
        # The way to the new level was no noise.
        scatter = 1.25 * sum(abs(seconds - now) for seconds in latest) / (now * SURE_AFTER)
        spread = min(self.spread, max(FIRST_SPREAD, scatter))
        return replace(self, times=latest, older=older, anchor_s=now, spread=spread, drifted=True)
