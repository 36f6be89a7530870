"""What ranks that step their own ways tell each other: how far they have come since they last were at one place."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

HALF_MOST = 15  # a 16-bit float holds all below 2¹⁵
STEEPEST = 100  # powers of two by which single precision can be scaled


class Changes:
    """``shared`` are the parameters that all ranks had last. One message per type of number."""

    @torch.no_grad()
    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.shared = [parameter.detach().clone() for parameter in parameters]
        self._flats: list[Tensor] = []
        self._views: list[Tensor] = list(self.shared)
        for dtype in dict.fromkeys(tensor.dtype for tensor in self.shared):
            places = [place for place, tensor in enumerate(self.shared) if tensor.dtype == dtype]
            flat = torch.cat([self.shared[place].reshape(-1) for place in places])
            self._flats.append(flat)
            for place, view in zip(places, torch.split(flat, [self.shared[place].numel() for place in places])):
                self._views[place] = view.view_as(self.shared[place])

    @torch.no_grad()
    def mean(self, parameters: Sequence[Tensor], weight: float, group: dist.ProcessGroup | None) -> list[Tensor]:
        """The sum over ranks of each parameter's change, each rank's taken ``weight`` times; good until the next."""
        for parameter, shared, view in zip(parameters, self.shared, self._views):
            torch.sub(parameter, shared, out=view)
        for flat in self._flats:
            flat.mul_(weight)
            if flat.dtype == torch.float32:
                _add_up_halved(flat, group)
            else:
                dist.all_reduce(flat, group=group)
        return self._views


def _add_up_halved(flat: Tensor, group: dist.ProcessGroup | None) -> None:
    """In half the bytes, scaled so that the largest change of any rank has its 11 bits, and no sum overflows."""
    largest = torch.stack(torch.aminmax(flat)).abs().max()
    dist.all_reduce(largest, op=dist.ReduceOp.MAX, group=group)
    most = float(largest) * dist.get_world_size(group)
    scale = 2.0 ** min(STEEPEST, HALF_MOST - math.frexp(most)[1]) if 0.0 < most < math.inf else 1.0
    halved = flat.mul_(scale).half()
    dist.all_reduce(halved, group=group)
    flat.copy_(halved).mul_(1.0 / scale)
