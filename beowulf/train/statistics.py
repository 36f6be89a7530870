"""BatchNorm's running statistics as one process would have them, composed over all micro-batches in global order.

A micro-batch with statistic s turns r into (1 − μ)·r + μ·s. So a run of micro-batches is r → d·r + c, and a step's
outcome is D·r + Σ_i w_i·c_i, where w_i is the decay by the micro-batches after rank i's. That is linear: each rank
carries its own part from step to step without a message, and the sum of the parts over ranks is the whole.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase


def refuse_norms(model: nn.Module) -> None:
    """ValueError names a layer whose statistics depend on the ranks or cannot be composed."""
    for name, layer in model.named_modules():
        if isinstance(layer, nn.SyncBatchNorm):
            raise ValueError(f"{name} is a SyncBatchNorm, which makes every pass wait for all: use BatchNorm")
        if isinstance(layer, _NormBase) and layer.track_running_stats and layer.momentum is None:
            raise ValueError(f"{name} has momentum=None: give it a momentum")


class Norm:
    """One layer: what this rank carries of its statistics, and how often a micro-batch goes through it."""

    def __init__(self, module: _NormBase, first: bool) -> None:
        assert module.running_mean is not None and module.running_var is not None
        assert module.num_batches_tracked is not None
        self.tracked, self.tracks = module.num_batches_tracked, isinstance(module, _BatchNorm)  # InstanceNorm does not
        assert module.momentum is not None
        self.keep = 1.0 - module.momentum
        self.buffers: list[torch.Tensor] = [module.running_mean, module.running_var]
        self.calls, self.per_micro = 0, 1
        self.begin: list[torch.Tensor] = []
        self.parts: list[torch.Tensor] = []
        self.take(first)
        module.register_forward_pre_hook(self._called)

    def take(self, first: bool) -> None:
        """The buffers hold the whole: rank 0 carries it on, the others begin with nothing."""
        self.begin = [buffer.clone() for buffer in self.buffers]
        self.parts = [buffer.clone() if first else torch.zeros_like(buffer) for buffer in self.buffers]

    def _called(self, module: nn.Module, _: object) -> None:
        self.calls += int(module.training)

    def settle(self, before: int, mine: int, after: int) -> None:
        """A step ended: ``mine`` micro-batches of this rank, others before and after them."""
        if mine:
            self.per_micro = self.calls // mine
        here, decay = self.keep ** (mine * self.per_micro), self.keep ** (after * self.per_micro)
        whole = self.keep ** ((before + mine + after) * self.per_micro)
        for buffer, begin, part in zip(self.buffers, self.begin, self.parts):
            part.mul_(whole)
            if mine:
                part.add_(buffer - here * begin, alpha=decay)
                begin.copy_(buffer)
        self.calls = 0


class Statistics:
    """The running statistics of all BatchNorm layers of a model."""

    def __init__(self, module: nn.Module, rank: int) -> None:
        self._first = rank == 0
        self._norms = [
            Norm(layer, self._first)
            for layer in module.modules()
            if isinstance(layer, _NormBase) and layer.track_running_stats and layer.running_mean is not None
        ]
        self._micro_batches = 0  # of all ranks, since the last merge
        self._counted = [norm.tracked.clone() for norm in self._norms]

    @torch.no_grad()
    def settle(self, before: int, mine: int, after: int) -> None:
        self._micro_batches += before + mine + after
        for norm in self._norms:
            norm.settle(before, mine, after)

    @torch.no_grad()
    def restore(self) -> None:
        """A step was left before its end: as if it had not begun."""
        for norm in self._norms:
            norm.tracked.sub_(norm.calls * norm.tracks)
            norm.calls = 0
            for buffer, begin in zip(norm.buffers, norm.begin):
                buffer.copy_(begin)

    @torch.no_grad()
    def merge(self, add_up: Callable[[torch.Tensor], None]) -> None:
        """Every rank's buffers hold the whole afterwards. ``add_up`` makes a CPU tensor its sum over ranks."""
        if not self._norms or not self._micro_batches:
            return
        flat = torch.cat([part.detach().double().cpu().reshape(-1) for norm in self._norms for part in norm.parts])
        add_up(flat)
        place = 0
        for norm in self._norms:
            for buffer in norm.buffers:
                buffer.copy_(flat[place : place + buffer.numel()].view_as(buffer))
                place += buffer.numel()
            norm.take(self._first)
        for norm, counted in zip(self._norms, self._counted):
            counted.add_(self._micro_batches * norm.per_micro * norm.tracks)
            norm.tracked.copy_(counted)
        self._micro_batches = 0

    def reload(self) -> None:
        """The buffers were loaded anew, alike on every rank."""
        self._micro_batches = 0
        for norm in self._norms:
            norm.take(self._first)
        self._counted = [norm.tracked.clone() for norm in self._norms]
