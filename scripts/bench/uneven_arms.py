"""The cases that take turns in one gang: stock DistributedDataParallel, and `beowulf.train` in a mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from uneven_model import SEED, Digits, joined, network, optimizer_of

from beowulf import train
from beowulf.train.modes import Choice, read_choice
from beowulf.train.order import epoch_order


class Arm(Protocol):
    """One training, which goes on where its last turn ended."""

    module: nn.Module

    def step(self) -> None: ...

    def settle(self) -> None: ...

    def facts(self) -> dict[str, Any]: ...


class Stock:
    """As torch's tutorial has it: every rank takes the same part of the batch. The batches are those of ``Ours``."""

    def __init__(self, digits: Digits, width: int, batch: int, **_: Any) -> None:
        self.module = network(width)
        self._model = DistributedDataParallel(self.module)
        self._optimizer = optimizer_of(self.module)
        self._digits, self._batch = digits, batch
        self._begin(0)

    def _begin(self, epoch: int) -> None:
        self._epoch, self._at = epoch, 0
        self._order = epoch_order(len(self._digits), SEED, epoch, True)

    def step(self) -> None:
        if self._at + self._batch > len(self._digits):
            self._begin(self._epoch + 1)
        part = self._batch // dist.get_world_size()
        first = self._at + dist.get_rank() * part
        inputs, wanted = self._digits.take(self._order[first : first + part].tolist())
        self._at += self._batch
        self._optimizer.zero_grad()
        nn.functional.cross_entropy(self._model(inputs), wanted).backward()
        self._optimizer.step()

    def settle(self) -> None:
        """Ranks are equal at every step."""

    def facts(self) -> dict[str, Any]:
        return {}


class Ours:
    """`beowulf.train` with its balancer on, in the mode ``communication`` names."""

    def __init__(
        self,
        digits: Digits,
        width: int,
        batch: int,
        *,
        micro: int = 4,
        communication: str = "exact",
        settings: dict[str, dict[str, float]] | None = None,
        split: list[int] | None = None,
    ) -> None:
        self._open = ExitStack()
        choice = Choice(read_choice(communication).modes, settings or {})
        self.session = self._open.enter_context(train.session(seed=SEED, communication=choice))
        self.module = network(width)
        self._model = self.session.wrap(self.module)
        if split:
            self.session.pace.fix(split)
        self._steps = self._training(digits, batch, micro)

    def _training(self, digits: Digits, batch: int, micro: int) -> Iterator[None]:
        bw, optimizer = self.session, optimizer_of(self.module)
        loader = bw.loader(digits, batch, micro, together=batch, drop_last=True, collate_fn=joined)
        for _ in bw.epochs(1000):
            for _, micro_batches in bw.steps(loader):
                for inputs, wanted in micro_batches:
                    bw.backward(nn.functional.cross_entropy(self._model(inputs), wanted))
                bw.step(optimizer)
                yield

    def step(self) -> None:
        next(self._steps)

    def settle(self) -> None:
        self.session.merge_statistics()

    def facts(self) -> dict[str, Any]:
        balancer, communication = self.session.pace.balancer, self.session.reduction.communication  # type: ignore[attr-defined]
        return {"split": list(balancer.split) if balancer else [], "mode": communication.name if communication else ""}


def make(kind: str, digits: Digits, common: dict[str, Any], own: dict[str, Any]) -> Arm:
    return (Stock if kind == "stock" else Ours)(digits, **common, **own)


def distance(one: nn.Module, other: nn.Module) -> float:
    """‖w₁ − w₂‖ / ‖w₂‖ over all parameters."""
    flat = [torch.cat([p.detach().double().reshape(-1) for p in module.parameters()]) for module in (one, other)]
    return float((flat[0] - flat[1]).norm() / flat[1].norm())
