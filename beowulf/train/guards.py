"""What would make the outcome depend on the split, or take ranks apart without a word: told before it does."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from beowulf.train.work import Misuse

if TYPE_CHECKING:
    from beowulf.train.reduction import Reduction

WHOLE = 2.0**53  # below it a float holds every whole number


def refuse_layers(model: nn.Module) -> None:
    """ValueError names a layer whose passes depend on the ranks or cannot be composed."""
    for name, layer in model.named_modules():
        if isinstance(layer, nn.SyncBatchNorm):
            raise ValueError(f"{name} is a SyncBatchNorm, which makes every pass wait for all: use BatchNorm")
        if isinstance(layer, _NormBase) and layer.track_running_stats and layer.momentum is None:
            raise ValueError(f"{name} has momentum=None: give it a momentum")
        if isinstance(layer, (nn.Embedding, nn.EmbeddingBag)) and layer.max_norm is not None:
            raise ValueError(f"{name} has max_norm, which moves its weights in the passes of one rank: leave it out")


def sparse(model: nn.Module) -> dict[int, str]:
    """The names of layers whose gradients are sparse, by the id of their weight."""
    return {
        id(layer.weight): name or "the model"
        for name, layer in model.named_modules()
        if isinstance(layer, (nn.Embedding, nn.EmbeddingBag)) and layer.sparse
    }


class Remembered:
    """The buffers that a checkpoint holds, but for BatchNorm's: every rank has its own, so passes must not move them.

    Those of no checkpoint are caches, and what moves between two steps moves on all ranks.
    """

    def __init__(self, module: nn.Module) -> None:
        kept = module.state_dict(keep_vars=True)
        self._places = [
            (f"{name}.{key}" if name else key, layer, key)
            for name, layer in module.named_modules()
            if not isinstance(layer, _NormBase)
            for key, buffer in layer.named_buffers(recurse=False)
            if (f"{name}.{key}" if name else key) in kept and buffer is not None
        ]
        self._seen = self._marks()

    def _marks(self) -> list[tuple[int, int]]:
        buffers = [layer._buffers[key] for _, layer, key in self._places]
        return [(id(buffer), 0 if buffer is None else buffer._version) for buffer in buffers]

    def begin(self) -> None:
        """A step's passes come."""
        self._seen = self._marks()

    def look(self) -> None:
        """They are over. Raises Misuse where one moved."""
        for place, before, now in zip(self._places, self._seen, self._marks()):
            if before != now:
                raise Misuse(
                    f"{place[0]} changes while micro-batches go through the model: each rank would have its own, "
                    "after its own micro-batches. Change it between two steps; a cache should be persistent=False"
                )


def refuse_strangers(optimizers: Iterable[torch.optim.Optimizer], exchanged: Container[int]) -> None:
    """Misuse where one is about to move what has this rank's own gradient. ``exchanged``: ids of the parameters."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and id(parameter) not in exchanged:
                    raise Misuse(
                        f"the optimizer moves a parameter of shape {tuple(parameter.shape)} whose gradient is this "
                        "rank's own: put all that learns into the module for bw.wrap, and thaw nothing afterwards"
                    )


def refuse_unlike(reduction: Reduction, facts: Mapping[str, int]) -> None:
    """Misuse, on all ranks, where they were told different ``facts``. Every rank calls it."""
    rows = reduction.gather([value % WHOLE for value in facts.values()])
    for name, told in zip(facts, zip(*rows)):
        if len(set(told)) > 1:
            values = ", ".join(f"{value:.0f}" for value in told)
            raise Misuse(f"{name} is not the same on all ranks ({values}): each of them needs the same seed and data")
