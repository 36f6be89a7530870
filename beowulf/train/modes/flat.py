"""Many tensors in one message."""

from __future__ import annotations

from typing import Optional, Sequence

import torch
import torch.distributed as dist
from torch import Tensor


@torch.no_grad()
def weighted_sum(tensors: Sequence[Tensor], weight: float, group: Optional[dist.ProcessGroup]) -> None:
    """Every tensor becomes its sum over ranks, each rank's taken ``weight`` times; one message per type of number."""
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        same = [tensor for tensor in tensors if tensor.dtype == dtype]
        flat = torch.cat([tensor.reshape(-1) for tensor in same]).mul_(weight)
        dist.all_reduce(flat, group=group)
        place = 0
        for tensor in same:
            tensor.copy_(flat[place : place + tensor.numel()].view_as(tensor))
            place += tensor.numel()
