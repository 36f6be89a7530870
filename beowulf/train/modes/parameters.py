"""Modes that step on each rank's own gradients and share parameters now and then: for networks that are very slow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor
from torch.futures import Future

from beowulf.train.modes.flat import weighted_sum
from beowulf.train.modes.mode import Lock, Part, done

if TYPE_CHECKING:
    from torch._C._distributed_c10d import GradBucket


class LocalSGD:
    """Every ``period`` steps parameters become their mean, weighted by the samples each rank has seen since.

    The stock `PostLocalSGDOptimizer` averages without weights: a rank with few samples would count like one with many.
    """

    def __init__(self, group: dist.ProcessGroup | None = None, *, period: int = 32) -> None:
        self._group = group
        self.period = period

    def begin(self, parameters: Sequence[Tensor]) -> None:
        """Nothing to remember."""

    def reduce(self, bucket: GradBucket, part: Part) -> Future[Tensor]:
        return done(bucket.buffer().mul_(part.local))

    def share(self, parameters: Sequence[Tensor], weight: float, lock: Lock) -> None:
        means = weighted_sum(parameters, weight, self._group)
        with lock, torch.no_grad():
            for parameter, mean in zip(parameters, means):
                parameter.copy_(mean)


class DiLoCo(LocalSGD):
    """What a period changed is taken for a gradient, and Nesterov's momentum steps along it
    (Douillard et al. 2023, https://arxiv.org/abs/2311.08105, whose outer settings these are)."""

    def __init__(
        self,
        group: dist.ProcessGroup | None = None,
        *,
        period: int = 32,
        outer_rate: float = 0.7,
        outer_momentum: float = 0.9,
    ) -> None:
        super().__init__(group, period=period)
        self._outer_rate = outer_rate
        self._outer_momentum = outer_momentum
        self._shared: list[Tensor] = []  # the parameters all ranks set out from
        self._outer: torch.optim.SGD | None = None

    def begin(self, parameters: Sequence[Tensor]) -> None:
        """What all ranks have now is where the first period sets out from."""
        self._shared = [parameter.detach().clone() for parameter in parameters]
        self._outer = torch.optim.SGD(self._shared, lr=self._outer_rate, momentum=self._outer_momentum, nesterov=True)

    @torch.no_grad()
    def share(self, parameters: Sequence[Tensor], weight: float, lock: Lock) -> None:
        assert self._outer is not None, "begin() comes first"
        for shared, mean in zip(self._shared, weighted_sum(parameters, weight, self._group)):
            shared.grad = shared - mean
        self._outer.step()
        with lock:
            for shared, parameter in zip(self._shared, parameters):
                shared.grad = None
                parameter.copy_(shared)
