"""What the ranks' optimizers remember (momentum, Adam's moments), made one where each stepped on its own gradients.

The mean over ranks, weighted by the samples that each was trained with, is what one optimizer would remember of all
their gradients but for their scatter: so it fits any number of ranks, and a rank without samples does not fade it.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from beowulf.train.modes.mode import Lock

if TYPE_CHECKING:
    from beowulf.train.session import Session

MESSAGE_NUMBERS = 16 * 1024 * 1024


class Moments:
    """Of the optimizers that stepped apart since ``join``. Every rank calls the same, in one order."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._optimizers: dict[int, torch.optim.Optimizer] = {}
        self._samples = 0  # this rank's, since then

    def stepped(self, optimizers: Sequence[torch.optim.Optimizer], samples: int) -> None:
        self._optimizers.update((id(one), one) for one in optimizers)
        self._samples += samples

    def join(self) -> None:
        """Optimizers and loss scale are one on all ranks afterwards. Nothing travels where none stepped apart.

        Broken off in the middle, some of a rank's tensors are the mean and some its own: either is good to go on from.
        """
        if not self._optimizers:
            return
        optimizers, samples = list(self._optimizers.values()), self._samples
        self._optimizers, self._samples = {}, 0
        scaler: dict[str, Any] = self._session.scaler.state_dict()
        scale = [scaler.get("scale", 1.0), scaler.get("_growth_tracker", 0)]
        tensors = list(averaged(optimizers))
        rows = self._session.reduction.gather([samples, layout(tensors), *scale])
        everyone, layouts, scales, grown = zip(*rows)
        if scaler:
            agreed = {**scaler, "scale": min(scales), "_growth_tracker": int(min(grown))}
            self._session.scaler.load_state_dict(agreed)
        if len(set(layouts)) > 1:
            self._tell()
        elif sum(everyone):
            mean(tensors, samples / sum(everyone), self._session.reduction.sum, self._session.step_lock)

    def _tell(self) -> None:
        if self._session.rank == 0:
            text = "beowulf: the ranks' optimizers remember unlike things: each rank goes on with its own"
            print(text, file=sys.stderr, flush=True)


def averaged(optimizers: Sequence[torch.optim.Optimizer]) -> Iterator[Tensor]:
    """All tensors that optimizers hold of their parameters, in an order that ranks share. Those of a parameter with
    whole numbers among them are left out: they are codes, of which there is no mean."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                state = optimizer.state.get(parameter, {})
                tensors = [state[name] for name in sorted(state) if isinstance(state[name], Tensor)]
                if all(tensor.is_floating_point() for tensor in tensors):
                    yield from tensors


def layout(tensors: Sequence[Tensor]) -> float:
    """The same number for the same shapes in the same order."""
    return float(zlib.crc32(repr([tuple(tensor.shape) for tensor in tensors]).encode()))


@torch.no_grad()
def mean(tensors: Sequence[Tensor], weight: float, add_up: Callable[[Tensor], None], lock: Lock) -> None:
    """Each becomes its sum over ranks, each rank's taken ``weight`` times, in as few messages as memory allows."""
    for message in _messages(tensors):
        # Counts of steps stay whole that way, and gloo adds no 16-bit floats of every kind.
        kind = torch.float64 if message[0].dim() == 0 else torch.promote_types(message[0].dtype, torch.float32)
        flat = torch.cat([tensor.detach().to("cpu", kind).reshape(-1) for tensor in message]).mul_(weight)
        add_up(flat)
        with lock:
            for tensor, one in zip(message, torch.split(flat, [tensor.numel() for tensor in message])):
                tensor.copy_(one.view_as(tensor))


def _messages(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Those of one kind together; single numbers are a kind of their own."""
    for kind in dict.fromkeys(_kind(tensor) for tensor in tensors):
        message: list[Tensor] = []
        numbers = 0
        for tensor in (one for one in tensors if _kind(one) == kind):
            if message and numbers + tensor.numel() > MESSAGE_NUMBERS:
                yield message
                message, numbers = [], 0
            message.append(tensor)
            numbers += tensor.numel()
        yield message


def _kind(tensor: Tensor) -> tuple[bool, torch.dtype]:
    return tensor.dim() == 0, tensor.dtype
