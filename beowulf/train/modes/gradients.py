"""Modes that average gradients as they come, bucket by bucket, while the backward pass goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch.distributed as dist
from torch import Tensor
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
from torch.futures import Future

from beowulf.train.modes.mode import Lock, Part

if TYPE_CHECKING:
    from torch._C._distributed_c10d import GradBucket


class Exact:
    """Gradients in their own precision."""

    period = 0
    carried: Sequence[Tensor] = ()

    def __init__(self, group: dist.ProcessGroup | None = None) -> None:
        self._group = group

    def begin(self, parameters: Sequence[Tensor], carried: Sequence[Tensor] = ()) -> None:
        """Nothing to remember."""

    def reduce(self, bucket: GradBucket, part: Part) -> Future[Tensor]:
        return default_hooks.allreduce_hook(self._group, bucket)  # type: ignore[arg-type]  # None: all ranks

    def share(self, parameters: Sequence[Tensor], weight: float, lock: Lock) -> None:
        """Nothing: equal gradients keep them equal."""


class HalfPrecision(Exact):
    """Gradients travel as 16-bit floats: half the bytes; what is below 6e-8 is lost."""

    def reduce(self, bucket: GradBucket, part: Part) -> Future[Tensor]:
        return default_hooks.fp16_compress_hook(self._group, bucket)  # type: ignore[arg-type]
