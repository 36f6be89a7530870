"""Each step's split, agreed by all ranks at its border, and learnt from how long they took."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from beowulf.split import Balancer, Refusal, start
from beowulf.split.record import level
from beowulf.train.reduction import Reduction

COST = 0.003  # of a step's time may go into agreeing, once the split has settled
RARELY = 16  # steps between two agreements, at most

_T = TypeVar("_T")


class Pace:
    """One collective per agreement: every rank's time for the steps since the last one. All find the same split."""

    def __init__(self, reduction: Reduction, speeds: Sequence[float] = (), caps: Sequence[int] = ()) -> None:
        self._reduction = reduction
        self._speeds, self._caps = tuple(speeds), tuple(caps)
        self._times: list[float] = []
        self._wait = 1  # whole steps until the next agreement
        self._cost_s = 0.0
        self.balancer: Balancer | None = None
        self.fixed = False

    def fix(self, split: Sequence[int]) -> None:
        """Every rank calls this: from the next step on it is ``split``, whatever the times."""
        total, ranks = sum(split), self._reduction.world
        begun = _granted(start(total, ranks, [max(count, 1e-3) for count in split] if len(split) == ranks else split))
        self.balancer, self.fixed = replace(begun, split=tuple(split)), True

    def border(self, total: int) -> None:
        """Between two steps of ``total`` micro-batches: agree on the split, where it is time to."""
        if self.balancer is None:
            self.balancer = _granted(start(total, self._reduction.world, self._speeds, self._caps))
        elif self.balancer.total != total:
            split = _granted(self.balancer.share(total))
            self.balancer, self._times = replace(self.balancer, split=split, looks=0), []
        if len(self._times) >= self._wait and not self.fixed and self._reduction.world > 1:
            self._agree(self.balancer)

    def share(self, count: int) -> tuple[int, ...]:
        assert self.balancer is not None
        return _granted(self.balancer.share(count))

    def took(self, seconds: float) -> None:
        """This rank's time for a whole step, without waiting for others."""
        self._times = [*self._times[-RARELY:], seconds]

    def _agree(self, balancer: Balancer) -> None:
        begin = time.perf_counter()
        rows = self._reduction.gather([level(self._times), self._cost_s])
        self._cost_s = time.perf_counter() - begin
        self._times = []
        self.balancer = balancer.observe([row[0] for row in rows])
        slowest = max(row[0] for row in rows)
        # Whoever comes last does not wait: its time is what the collective itself costs.
        cost = min(row[1] for row in rows)
        due = cost / (COST * slowest) if slowest > 0.0 else RARELY
        self._wait = int(min(max(1.0, due), RARELY)) if self.balancer.settled else 1


def _granted(answer: _T | Refusal) -> _T:
    if isinstance(answer, Refusal):
        raise ValueError(answer.sentence)
    return answer
