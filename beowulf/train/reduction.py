"""How the ranks' gradients become one: the seam between a session and what carries its messages."""

from __future__ import annotations

import atexit
import inspect
import os
import socket
import threading
import weakref
import zlib
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from beowulf.train import sites
from beowulf.train.guards import sparse
from beowulf.train.modes import Choice, Communication
from beowulf.train.nothing import Nothing, learning
from beowulf.train.place import Place
from beowulf.train.work import Misuse

OPTIONS = ("bucket_cap_mb", "find_unused_parameters", "gradient_as_bucket_view")  # of DDP, that change no result


class Reduction(Protocol):
    """What a session needs of a way to exchange gradients. All but ``local`` are called by every rank, in one order."""

    rank: int
    world: int
    # What a rank multiplies its part of the batch by, so that the outcome is the mean over the batch: where the
    # exchange is a mean over ranks, their number; where there is none, what makes its own samples the batch.
    factor: float
    # Whether gradients are exchanged after all passes, by ``exchange``: a pass may leave parameters out.
    late: bool

    def wrap(self, module: nn.Module, device: torch.device, options: Mapping[str, Any]) -> nn.Module:
        """The model to call. Parameters and buffers are rank 0's afterwards."""

    def begin(self, samples: int, batch: int) -> None:
        """A step begins, in which this rank trains ``samples`` of ``batch``."""

    def local(self) -> AbstractContextManager[None]:
        """Forward and backward passes inside add to the gradients of this rank; nothing is exchanged."""

    def absent(self) -> None:
        """Take part in the exchange of a step with nothing to add: no forward pass, no buffer touched. Where ranks go
        their own ways, nothing is exchanged, and only gradients of nought are there afterwards."""

    def exchange(self) -> None:
        """All ranks, after passes that exchanged nothing. A parameter that no rank has a gradient of keeps none."""

    def exchanged(self, reached: Collection[int]) -> None:
        """Misuse where this rank's last pass, which gave gradients to parameters of these ids, left something out."""

    def meet(self) -> None:
        """Take part in what a forward pass of others exchanges, with nothing to add and no gradient."""

    def finish(self) -> None:
        """Afterwards every parameter's ``grad`` holds the outcome. Called once per step, after the last backward."""

    @property
    def apart(self) -> bool:
        """Whether the optimizer moves each rank's parameters its own way; others are told of it later."""

    def stepped(self, lock: threading.RLock) -> bool:
        """After the optimizer moved the parameters → whether they are one on all ranks. Who moves them here holds
        ``lock`` meanwhile, but never while waiting for other ranks."""

    def settle(self, lock: threading.RLock) -> None:
        """Parameters are looked at now (evaluation, checkpoint, end): make them one where ranks went their own ways."""

    @property
    def carried(self) -> Mapping[str, Any]:
        """What a checkpoint has to hold of the exchange, alike on all ranks whenever their parameters are."""

    def loaded(self, carried: Mapping[str, Any]) -> None:
        """The parameters were loaded, alike on all ranks; their checkpoint holds ``carried`` (``{}``: nothing)."""

    def gather(self, values: Sequence[float]) -> list[list[float]]:
        """Every rank's few numbers, by rank; beside the gradients, never in their way."""

    def sum(self, tensor: torch.Tensor) -> None:
        """``tensor`` (on the CPU) becomes its sum over ranks, in place; beside the gradients."""

    def close(self) -> None:
        """The training ended well: leave the others."""


class DistributedReduction:
    """Stock DistributedDataParallel over torch.distributed (gloo on CPUs, nccl on CUDA); ``choice``: what travels."""

    def __init__(self, place: Place, device: torch.device, choice: Choice | None = None) -> None:
        self._joined_here = not dist.is_initialized()
        if self._joined_here:
            _join(place, device)
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        self.factor = float(self.world)
        # A group of its own: DDP's first steps put messages of their own among the gradients.
        self._beside: Any = dist.new_group(backend=sites.BACKEND if place.sites else "gloo")
        if not place.sites:
            atexit.register(_leave, weakref.ref(self))
        # nccl refuses two ranks on one GPU, and a rank without any; gloo takes them all.
        together = bool(place.sites) or nccl_can([row[0] for row in self.gather([identity(device)])])
        self._gradients = None if together else dist.new_group(backend="gloo")
        self._choice = choice if choice is not None and self.world > 1 else Choice()
        self._model: DistributedDataParallel | None = None
        self.communication: Communication | None = None
        self.late = self._called = False

    @property
    def model(self) -> DistributedDataParallel:
        assert self._model is not None
        return self._model

    def wrap(self, module: nn.Module, device: torch.device, options: Mapping[str, Any]) -> nn.Module:
        """ValueError for options of DistributedDataParallel that would change the outcome, and for what no mode can."""
        self._refuse(module, options)
        chosen: dict[str, Any] = {"gradient_as_bucket_view": True}
        if device.type == "cuda":
            chosen["device_ids"] = [device.index]
        else:  # the slower the network, the sooner the first bucket should be on its way
            chosen["bucket_cap_mb"] = 8
        chosen.update(options)
        self.late = bool(chosen.pop("find_unused_parameters", False))
        # Buffers are every rank's own between steps (Statistics composes them); torch renamed the option in 2.13.
        known = inspect.signature(DistributedDataParallel).parameters
        chosen["forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"] = False
        self._model = DistributedDataParallel(module, process_group=self._gradients, **chosen)
        self._model.register_forward_pre_hook(self._entered)
        self._learning = learning(module)
        self.communication = Communication(self._model, self._choice, group=self._gradients)
        return self._model

    def _refuse(self, module: nn.Module, options: Mapping[str, Any]) -> None:
        others = sorted(set(options) - set(OPTIONS))
        if others:
            raise ValueError(f"bw.wrap decides {', '.join(others)} itself; its options are {', '.join(OPTIONS)}")
        for name in sparse(module).values() if self._choice.modes != ("exact",) else ():
            raise ValueError(f"communication {self._choice.text}: {name} has sparse gradients: exact, or sparse=False")

    def _entered(self, model: nn.Module, _: object) -> None:
        self._called |= bool(model.require_backward_grad_sync)

    def begin(self, samples: int, batch: int) -> None:
        self._called = False
        if self.communication is not None:
            self.communication.before_step(samples, batch)
            self.factor = float(self.world)
            if self.communication.local and samples:
                self.factor = batch / samples

    def local(self) -> AbstractContextManager[None]:
        return self.model.no_sync()

    def absent(self) -> None:
        """A pass through DDP, in the module's place one that gives every parameter a gradient of nought."""
        if self.apart:
            for parameter in self.model.parameters():
                parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
            return
        _backward(self._nothing())

    def exchange(self) -> None:
        had = [float(parameter.grad is not None) for parameter in self._learning]
        outputs = self._nothing()  # first, for DDP may lay its buckets out anew, which waits for all ranks
        used = torch.tensor(had)
        self.sum(used)
        _backward(outputs)
        for parameter, ranks in zip(self._learning, used.tolist()):
            if not ranks:
                parameter.grad = None

    def exchanged(self, reached: Collection[int]) -> None:
        if not self._called:
            raise Misuse(
                "ranks exchanged no gradients: the last micro-batch went past the model that bw.wrap returned, "
                "through the module inside it"
            )
        if len(reached) < len(self._learning):
            named = self.model.module.named_parameters()
            name = next(name for name, one in named if one.requires_grad and id(one) not in reached)
            raise Misuse(
                f"{name} had no part in a micro-batch's loss, so ranks did not exchange its gradient: "
                "bw.wrap(model, find_unused_parameters=True)"
            )

    def meet(self) -> None:
        """DDP's second forward pass lays its buckets out anew, which waits for all ranks."""
        with self.local():
            self._nothing()

    def _nothing(self) -> list[torch.Tensor]:
        module = self.model.module
        self.model.module = Nothing(module)
        try:
            outputs: list[torch.Tensor] = self.model(None)  # on CUDA, DDP takes no call without inputs
        finally:
            self.model.module = module
        return outputs

    def finish(self) -> None:
        """DDP is done when backward is."""

    @property
    def apart(self) -> bool:
        return self.communication is not None and self.communication.local

    def stepped(self, lock: threading.RLock) -> bool:
        return self.communication is None or self.communication.after_step(lock)

    @property
    def carried(self) -> Mapping[str, Any]:
        return {} if self.communication is None else self.communication.carried

    def loaded(self, carried: Mapping[str, Any]) -> None:
        if self.communication is not None:
            self.communication.loaded(carried)

    def settle(self, lock: threading.RLock) -> None:
        if self.communication is not None:
            self.communication.settle(lock)

    def gather(self, values: Sequence[float]) -> list[list[float]]:
        mine = torch.tensor(list(values), dtype=torch.float64)
        if self.world == 1:
            return [mine.tolist()]
        everyone = [torch.empty_like(mine) for _ in range(self.world)]
        dist.all_gather(everyone, mine, group=self._beside)
        return [row.tolist() for row in everyone]

    def sum(self, tensor: torch.Tensor) -> None:
        if self.world > 1:
            dist.all_reduce(tensor, group=self._beside)

    def close(self) -> None:
        if self._joined_here:
            dist.barrier(group=self._beside)
            dist.destroy_process_group()
        self.leave()

    def leave(self) -> None:
        """End the group beside the gradients, without a word to the others.

        While Python still runs: a thread of gloo that lets go of a tensor later aborts the process, after all its work
        (https://github.com/pytorch/pytorch/issues/190489).
        """
        beside, self._beside = self._beside, None
        with suppress(ValueError):  # it went with all the others
            if beside is not None:
                dist.destroy_process_group(beside)


def _leave(reduction: weakref.ref[DistributedReduction]) -> None:
    """At the end of a script that did not close its session."""
    found = reduction()
    if found is not None:
        found.leave()


def _backward(outputs: Sequence[torch.Tensor]) -> None:
    torch.autograd.backward(outputs, [torch.ones_like(output) for output in outputs])


def identity(device: torch.device) -> float:
    """The same number for ranks on one GPU, another for another; -1 for a CPU."""
    if device.type != "cuda":
        return -1.0
    visible = f"{socket.gethostname()}/{os.environ.get('CUDA_VISIBLE_DEVICES', '')}/{device.index}"
    name = getattr(torch.cuda.get_device_properties(device), "uuid", visible)
    return float(zlib.crc32(str(name).encode()))


def nccl_can(identities: Sequence[float]) -> bool:
    """Whether ranks on these devices need no other exchange than their default one."""
    gpus = [one for one in identities if one >= 0]
    return not gpus or len(set(gpus)) == len(identities)


def _join(place: Place, device: torch.device) -> None:
    # Communicators of nccl are made when they are first needed, so ranks it would refuse may still meet.
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    backend = sites.register() if place.sites else backend
    if place.world == 1:
        alone = dist.HashStore()  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=alone, rank=0, world_size=1)
        return
    words = {"RANK": place.rank, "WORLD_SIZE": place.world, "MASTER_ADDR": place.address, "MASTER_PORT": place.port}
    for name, value in words.items():
        os.environ.setdefault(name, str(value))
    dist.init_process_group(backend)
