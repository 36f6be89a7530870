"""Each step's split, agreed by all ranks at its border, and learnt from how long they took."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from beowulf.split import AGREED, Balancer, Refusal, start
from beowulf.train.reduction import Reduction

COST = 0.003  # of a step's time may go into agreeing, once the split has settled
TOLD = 3  # times a rank tells at once: as many as make a drift

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
        self.asked = False  # this rank wishes for a checkpoint of all
        self._fixed: tuple[int, ...] = ()

    def fix(self, split: Sequence[int]) -> None:
        """Every rank calls this: from the next step on it is ``split``, whatever the times."""
        self._fixed = tuple(split)

    def border(self, total: int) -> bool:
        """Between two steps of ``total`` micro-batches: agree on the split, where it is time to, and on whether a rank
        wishes for a checkpoint of all."""
        if self._fixed:
            self.balancer = _held(self._fixed, total, self._reduction.world)
            return False
        if self.balancer is None:
            self.balancer = _granted(start(total, self._reduction.world, self._speeds, self._caps))
        elif self.balancer.total != total:
            split = _granted(self.balancer.share(total))
            self.balancer, self._times = replace(self.balancer, split=split, looks=0), []
        due = len(self._times) >= self._wait and self._reduction.world > 1
        return due and self._agree(self.balancer)

    def share(self, count: int) -> tuple[int, ...]:
        assert self.balancer is not None
        return _granted(self.balancer.share(count))

    def out_of_memory(self, held: Sequence[int]) -> None:
        """Ranks could hold only so many micro-batches (-1: all they had) and get no more than that from now on."""
        assert self.balancer is not None
        for rank, count in enumerate(held):
            if count >= 0:
                lower = self.balancer.out_of_memory(rank, count)
                if isinstance(lower, Refusal):
                    raise ValueError(f"out of memory: {lower.sentence}: make micro_batch smaller; batch_size can stay")
                self.balancer = lower
        self._times = []
        self._fixed = self.balancer.split if self._fixed else ()

    def took(self, seconds: float) -> None:
        """This rank's time for a whole step, without waiting for others."""
        self._times.append(seconds)

    def _agree(self, balancer: Balancer) -> bool:
        before, begin = balancer.split, time.perf_counter()
        rows = self._reduction.gather([self._cost_s, float(self.asked), *self._times[-TOLD:]])
        self._cost_s = time.perf_counter() - begin
        self._times = []
        for seconds in list(zip(*rows))[2:]:
            if balancer.split == before:  # later times were another split's
                balancer = balancer.observe(seconds)
        self.balancer = balancer
        slowest = max(row[-1] for row in rows)
        # Whoever comes last does not wait: its time is what the collective itself costs.
        cost = min(row[0] for row in rows)
        due = min(cost / (COST * slowest), AGREED) if slowest > 0.0 else AGREED
        self._wait = max(1, int(due)) if balancer.settled else 1
        return any(row[1] for row in rows)


def _held(split: Sequence[int], total: int, ranks: int) -> Balancer:
    """A balancer of this very split; an epoch's last step is shared out in its proportions."""
    if len(split) != ranks or sum(split) != total or min(split) < 0:
        raise ValueError(f"{tuple(split)} does not share {total} micro-batches out to {ranks} ranks")
    return replace(_granted(start(total, ranks, [max(count, 1e-3) for count in split])), split=tuple(split))


def _granted(answer: _T | Refusal) -> _T:
    if isinstance(answer, Refusal):
        raise ValueError(answer.sentence)
    return answer
