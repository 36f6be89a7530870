"""Modes that step on each rank's own gradients and share parameters now and then: for networks that are very slow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.futures import Future

from beowulf.split import PERIOD
from beowulf.train.modes.changes import Changes
from beowulf.train.modes.mode import Lock, Part, done

if TYPE_CHECKING:
    from torch._C._distributed_c10d import GradBucket


class LocalSGD:
    """Every ``period`` steps parameters become their mean, weighted by the samples each rank has seen since.

    The stock `PostLocalSGDOptimizer` averages without weights: a rank with few samples would count like one with many.
    """

    carried: Sequence[Tensor] = ()

    def __init__(self, group: dist.ProcessGroup | None = None, *, period: int = PERIOD) -> None:
        self._group = group
        self.period = period
        self._changes = Changes(())

    def begin(self, parameters: Sequence[Tensor], carried: Sequence[Tensor] = ()) -> None:
        """What all ranks have now is where the first period sets out from."""
        self._changes = Changes(parameters)

    def reduce(self, bucket: GradBucket, part: Part) -> Future[Tensor]:
        return done(bucket.buffer().mul_(part.local))

    @torch.no_grad()
    def share(self, parameters: Sequence[Tensor], weight: float, lock: Lock) -> None:
        shared = self._changes.shared
        self._move(shared, self._changes.mean(parameters, weight, self._group))
        with lock:
            for parameter, one in zip(parameters, shared):
                parameter.copy_(one)

    def _move(self, shared: Sequence[Tensor], changes: Sequence[Tensor]) -> None:
        """``shared`` to where ranks set out from next."""
        for one, change in zip(shared, changes):
            one.add_(change)


class DiLoCo(LocalSGD):
    """What a period changed is taken for a gradient, and Nesterov's momentum steps along it
    (Douillard et al. 2023, https://arxiv.org/abs/2311.08105, whose outer settings these are). It carries the momentum.
    """

    def __init__(
        self,
        group: dist.ProcessGroup | None = None,
        *,
        period: int = PERIOD,
        outer_rate: float = 0.7,
        outer_momentum: float = 0.9,
    ) -> None:
        super().__init__(group, period=period)
        self._outer_rate = outer_rate
        self._outer_momentum = outer_momentum
        self._outer: torch.optim.SGD | None = None

    def begin(self, parameters: Sequence[Tensor], carried: Sequence[Tensor] = ()) -> None:
        super().begin(parameters)
        rates: Any = {"lr": self._outer_rate, "momentum": self._outer_momentum, "nesterov": True}
        self._outer = torch.optim.SGD(self._changes.shared, **rates)
        self.carried = carried
        for one, momentum in zip(self._changes.shared, carried):
            self._outer.state[one]["momentum_buffer"] = momentum.to(one)

    def _move(self, shared: Sequence[Tensor], changes: Sequence[Tensor]) -> None:
        assert self._outer is not None, "begin() comes first"
        for one, change in zip(shared, changes):
            one.grad = change.neg_()
        self._outer.step()
        self.carried = [self._outer.state[one]["momentum_buffer"] for one in shared]
        for one in shared:
            one.grad = None
