"""Gradients exchanged by Horovod: its own optimizer sums them, however many micro-batches each rank runs."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from beowulf.train.guards import sparse
from beowulf.train.modes import Choice

MODES = ("exact", "fp16")


class HorovodReduction:
    """A `Reduction` over Horovod's ``DistributedOptimizer`` with ``op=Sum``.

    Its hooks begin a parameter's allreduce after so many backward passes; ``finish`` sends what had none (a rank
    without micro-batches, too) and waits. The script's own optimizer stays as it is and finds the sums in ``grad``.
    """

    factor = 1.0
    apart = False
    late = False

    def __init__(self, device: torch.device, choice: Choice | None = None) -> None:
        self._halved = _halved(choice or Choice())
        try:
            self._horovod: Any = importlib.import_module("horovod.torch")
        except ImportError as error:
            raise ValueError(
                f"HOROVOD_CONTROLLER is set, but this Python has no Horovod ({error}): "
                "add horovod to env.requirements, or start the ranks with another launcher"
            ) from error
        if device.type == "cuda" and not self._horovod.cuda_built():
            raise ValueError(
                "this Horovod was built without CUDA: session(device=torch.device('cpu')), or launcher: torchrun"
            )
        self._joined_here = not self._horovod.is_initialized()
        if self._joined_here:
            self._horovod.init()
        self.rank: int = self._horovod.rank()
        self.world: int = self._horovod.size()
        self._optimizer: Any = None

    def wrap(self, module: nn.Module, device: torch.device, options: Mapping[str, Any]) -> nn.Module:
        """``module`` itself. ValueError for ``options``, which are DistributedDataParallel's; for sparse gradients."""
        if options:
            raise ValueError(f"Horovod knows nothing of {', '.join(sorted(options))}: bw.wrap takes the model alone")
        for name in sparse(module).values():
            raise ValueError(f"{name} has sparse gradients, of which a rank without work has none: sparse=False")
        self._horovod.broadcast_parameters(module.state_dict(), root_rank=0)
        named = [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
        # It moves nothing: the script's optimizer does.
        idle = torch.optim.SGD([parameter for _, parameter in named], lr=0.0)
        small = self._horovod.Compression.fp16 if self._halved else self._horovod.Compression.none
        self._optimizer = self._horovod.DistributedOptimizer(
            idle, named_parameters=named, compression=small, op=self._horovod.Sum
        )
        return module

    def begin(self, samples: int, batch: int) -> None:
        """Every step is like the others."""

    @contextmanager
    def local(self) -> Iterator[None]:
        self._optimizer.set_backward_passes_per_step(2)
        try:
            yield
        finally:
            self._optimizer.set_backward_passes_per_step(1)

    def absent(self) -> None:
        """``finish`` sends noughts for parameters that had no pass."""

    def exchange(self) -> None:
        """``finish`` does."""

    def exchanged(self, reached: Collection[int]) -> None:
        """Whatever was left out, ``finish`` sends."""

    def meet(self) -> None:
        """Forward passes exchange nothing."""

    def finish(self) -> None:
        self._optimizer.synchronize()

    def stepped(self, lock: threading.RLock) -> bool:
        """Parameters are one after every step."""
        return True

    @property
    def carried(self) -> Mapping[str, Any]:
        return {}

    def loaded(self, carried: Mapping[str, Any]) -> None:
        """Nothing is remembered of the former ones."""

    def settle(self, lock: threading.RLock) -> None:
        """Parameters are one after every step."""

    def gather(self, values: Sequence[float]) -> list[list[float]]:
        mine = torch.tensor([list(values)], dtype=torch.float64)
        rows: list[list[float]] = self._horovod.allgather(mine, name="beowulf.gather").tolist()
        return rows

    def sum(self, tensor: torch.Tensor) -> None:
        self._horovod.allreduce_(tensor, op=self._horovod.Sum, name="beowulf.sum")

    def close(self) -> None:
        if self._joined_here:
            self._horovod.shutdown()


def _halved(choice: Choice) -> bool:
    """Whether gradients travel in 16 bits. ValueError for what only DistributedDataParallel does."""
    if len(choice.modes) > 1 or choice.modes[0] not in MODES:
        raise ValueError(
            f"communication {choice.text}: Horovod does {' and '.join(MODES)}; the other modes need launcher: torchrun"
        )
    return choice.modes[0] == "fp16"
