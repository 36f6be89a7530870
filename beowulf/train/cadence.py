"""When the next checkpoint pays: every √(2·C·M) seconds, C what one costs and M the mean time between failures.

Young, A first order approximation to the optimum checkpoint interval, 1974; Daly 2006 has the same for C ≪ M. C is
measured here, where it is paid; M comes from the head, which has seen the gang's nodes fail.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

FIRST_COST_S = 1.0  # of a checkpoint, before one was made
USUAL_MTBF_S = 86400.0  # without a head
Total = Callable[[float, float], list[float]]


class Cadence:
    """All ranks ask at the same steps, and rank 0's clock answers for them all."""

    def __init__(self, environ: Mapping[str, str], rank: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._mtbf_s = float(environ.get("BEOWULF_GANG_MTBF_S") or USUAL_MTBF_S)
        self._first, self._clock = rank == 0, clock
        self._cost_s = FIRST_COST_S
        self._since_s, self._since_step, self._look_step = clock(), 0, 0

    def due(self, step: int, total: Total) -> bool:
        """Whether to make one before ``step``; ``total`` sums over the ranks. Each look goes a third of the way."""
        if step < self._look_step:
            return False
        mine = (self._clock() - self._since_s, self._cost_s) if self._first else (0.0, 0.0)
        passed_s, cost_s = total(*mine)
        left_s = every_s(cost_s, self._mtbf_s) - passed_s
        done = step - self._since_step
        if left_s <= 0.0 and done > 0:
            return True
        each_s = passed_s / done if done > 0 else 0.0
        self._look_step = step + max(1, int(left_s / each_s / 3.0) if each_s > 0.0 else 1)
        return False

    def made(self, step: int, cost_s: float) -> None:
        self._cost_s = max(cost_s, 1e-3)
        self._since_s, self._since_step, self._look_step = self._clock(), step, step + 1


def every_s(cost_s: float, mtbf_s: float) -> float:
    """At least ten times its cost, however often nodes fail."""
    return max(math.sqrt(2.0 * cost_s * mtbf_s), 10.0 * cost_s)
