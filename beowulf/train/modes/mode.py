"""What every communication mode is: what to do with a bucket of gradients, and now and then with the parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ContextManager, Protocol  # noqa: UP035 (Python 3.8)

import torch
from torch import Tensor
from torch.futures import Future

if TYPE_CHECKING:
    from torch._C._distributed_c10d import GradBucket


Lock = ContextManager[Any]


@dataclass(frozen=True)
class Part:
    """This rank's part of one optimizer step: ``samples`` of ``batch``, which ``world`` ranks share.

    Gradients reach a mode as those of (loss summed over ``samples``) · world / batch, so that their mean over
    ranks is the gradient of the mean loss, however the batch is split.
    """

    samples: int
    batch: int
    world: int

    @property
    def weight(self) -> float:
        return self.samples / self.batch

    @property
    def local(self) -> float:
        """What turns such a gradient into that of the mean loss of this rank's own samples."""
        return self.batch / (self.world * self.samples) if self.samples else 0.0


class Mode(Protocol):
    """``period``: parameters are shared after every so many steps; 0: never, for gradients were.

    ``carried`` is what a checkpoint has to hold of the mode, alike on all ranks whenever their parameters are.
    """

    period: int
    carried: Sequence[Tensor]

    def begin(self, parameters: Sequence[Tensor], carried: Sequence[Tensor] = ()) -> None:
        """From here on this mode is used; all ranks have the same parameters, and ``carried`` of what they resume."""

    def reduce(self, bucket: GradBucket, part: Part) -> Future[Tensor]:
        """The gradients to step with, in the bucket's own layout."""

    def share(self, parameters: Sequence[Tensor], weight: float, lock: Lock) -> None:
        """Make the parameters of all ranks one again; ``weight`` is this rank's part of the samples since.

        ``lock`` is held while parameters change, not while ranks wait for each other.
        """


def done(tensor: Tensor) -> Future[Tensor]:
    """A future that is over."""
    future = pending(tensor)
    future.set_result(tensor)
    return future


def pending(like: Tensor) -> Future[Tensor]:
    """A future for a tensor on the device of ``like``."""
    devices = [like.device] if like.is_cuda else None
    future: Future[Tensor] = torch.futures.Future(devices=devices)  # type: ignore[arg-type]
    return future
