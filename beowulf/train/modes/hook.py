"""The function that DDP calls. It compares the annotations with its own classes, so here they are not text."""

from typing import Protocol

from torch import Tensor
from torch._C._distributed_c10d import GradBucket  # the only place that also says its type
from torch.futures import Future


class Reducer(Protocol):
    def reduce(self, bucket: GradBucket) -> Future[Tensor]: ...


def hook(state: Reducer, bucket: GradBucket) -> Future[Tensor]:
    return state.reduce(bucket)
