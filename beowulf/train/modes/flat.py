"""Many tensors in one message."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor


@torch.no_grad()
def weighted_sum(tensors: Sequence[Tensor], weight: float, group: dist.ProcessGroup | None) -> list[Tensor]:
    """The sum over ranks of each tensor, each rank's taken ``weight`` times; one message per type of number."""
    sums: dict[int, Tensor] = {}
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        same = [(index, tensor) for index, tensor in enumerate(tensors) if tensor.dtype == dtype]
        flat = torch.cat([tensor.reshape(-1) for _, tensor in same]).mul_(weight)
        dist.all_reduce(flat, group=group)
        place = 0
        for index, tensor in same:
            sums[index] = flat[place : place + tensor.numel()].view_as(tensor)
            place += tensor.numel()
    return [sums[index] for index in range(len(tensors))]
