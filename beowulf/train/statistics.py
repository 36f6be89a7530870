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

from beowulf.train.work import Misuse


class Norm:
    """One layer: what this rank carries of its statistics, and how often a micro-batch goes through it."""

    def __init__(self, name: str, module: _NormBase, first: bool) -> None:
        assert module.running_mean is not None and module.running_var is not None
        assert module.num_batches_tracked is not None
        self.name, self._module = name, module
        self.tracked, self.tracks = module.num_batches_tracked, isinstance(module, _BatchNorm)  # InstanceNorm does not
        self.buffers: list[torch.Tensor] = [module.running_mean, module.running_var]
        self.calls = 0
        self.begin: list[torch.Tensor] = []
        self.parts: list[torch.Tensor] = []
        self.take(first)
        module.register_forward_pre_hook(self._called)

    def take(self, first: bool) -> None:
        """The buffers hold the whole: rank 0 carries it on, the others begin with nothing."""
        self.passes: int | None = None  # of each micro-batch, as this rank has seen it since then
        self.begin = [buffer.clone() for buffer in self.buffers]
        self.parts = [buffer.clone() if first else torch.zeros_like(buffer) for buffer in self.buffers]
        self.waiting = 1.0  # by what the parts have yet to be multiplied for each pass of a micro-batch

    def _called(self, module: nn.Module, _: object) -> None:
        self.calls += int(module.training)

    def look(self, mine: int) -> None:
        """Before a step of ``mine`` micro-batches counts. Raises Misuse where they did not all go the same way."""
        passes, rest = divmod(self.calls, mine) if mine else (self.passes, self.calls)
        if rest or self.passes not in (None, passes):
            raise Misuse(
                f"{self.name} was passed {self.calls} times in training by {mine} micro-batches, and otherwise before: "
                "its running statistics cannot be composed. Freeze or thaw it after an epoch or bw.merge_statistics()"
            )
        self.passes = passes

    def settle(self, before: int, mine: int, after: int) -> None:
        """A step ended: ``mine`` micro-batches of this rank, others before and after them."""
        assert self._module.momentum is not None
        keep = 1.0 - self._module.momentum  # of now: it may follow a schedule
        self.waiting *= keep ** (before + mine + after)
        if self.passes is None:  # nothing of it has been seen here: others know how often micro-batches pass it
            return
        self.catch_up(self.passes)
        if mine:
            here, decay = keep ** (mine * self.passes), keep ** (after * self.passes)
            for buffer, begin, part in zip(self.buffers, self.begin, self.parts):
                part.add_(buffer - here * begin, alpha=decay)
                begin.copy_(buffer)
        self.calls = 0

    def catch_up(self, passes: int) -> None:
        for part in self.parts:
            part.mul_(self.waiting**passes)
        self.waiting = 1.0


class Statistics:
    """The running statistics of all BatchNorm layers of a model."""

    def __init__(self, module: nn.Module, rank: int) -> None:
        self._first = rank == 0
        self._norms = [
            Norm(name or "the model", layer, self._first)
            for name, layer in module.named_modules()
            if isinstance(layer, _NormBase) and layer.track_running_stats and layer.running_mean is not None
        ]
        self._micro_batches = 0  # of all ranks, since the last merge
        self._counted = [norm.tracked.clone() for norm in self._norms]

    def look(self, mine: int) -> None:
        """Before a step counts. Raises Misuse where its outcome could not be composed."""
        for norm in self._norms:
            norm.look(mine)

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
        """Every rank's buffers hold the whole afterwards. ``add_up`` makes a CPU tensor its sum over ranks.

        Misuse, on all ranks, where micro-batches of one rank went another way through a layer than those of another.
        """
        if not self._norms or not self._micro_batches:
            return
        for norm, counted, passes in zip(self._norms, self._counted, self._agreed(add_up)):
            norm.catch_up(passes)
            counted.add_(self._micro_batches * passes * norm.tracks)
            norm.tracked.copy_(counted)
        flat = torch.cat([part.detach().double().cpu().reshape(-1) for norm in self._norms for part in norm.parts])
        add_up(flat)
        place = 0
        for norm in self._norms:
            for buffer in norm.buffers:
                buffer.copy_(flat[place : place + buffer.numel()].view_as(buffer))
                place += buffer.numel()
            norm.take(self._first)
        self._micro_batches = 0

    def _agreed(self, add_up: Callable[[torch.Tensor], None]) -> list[int]:
        """By layer: how often each micro-batch passed it, as those ranks saw it that had some."""
        known = [norm.passes for norm in self._norms]
        told = torch.tensor([[0.0] * 3 if one is None else [1.0, one, one * one] for one in known], dtype=torch.float64)
        add_up(told)
        for norm, (ranks, passes, squares) in zip(self._norms, told.tolist()):
            if ranks * squares != passes * passes:
                raise Misuse(
                    f"{norm.name} is passed by micro-batches of some ranks only, or not equally often: its running "
                    "statistics cannot be composed then"
                )
        return [round(passes / ranks) for ranks, passes, _ in told.tolist()]

    def reload(self) -> None:
        """The buffers were loaded anew, alike on every rank."""
        self._micro_batches = 0
        for norm in self._norms:
            norm.take(self._first)
        self._counted = [norm.tracked.clone() for norm in self._norms]
