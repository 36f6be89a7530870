"""PowerSGD (Vogels, Karimireddy, Jaggi 2019, https://arxiv.org/abs/1905.13727): gradients travel as thin factors.

The stock hook starts a chain of collectives per bucket, and gloo runs the links of two chains in an order that differs
from rank to rank: with more than one bucket it aborts. Here buckets are only collected; when the last one has come,
all of them are reduced together, in two collectives per step, whatever the number of buckets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor
from torch.futures import Future

from beowulf.train.modes.flat import weighted_sum
from beowulf.train.modes.mode import Lock, Part, pending

if TYPE_CHECKING:
    from torch._C._distributed_c10d import GradBucket

RANK = 8
# A row that shrinks to less than this when those before it are taken out is noise, which scaling up would make a
# direction of its own. What it held stays in the error and is sent later.
LEAST_REMAINDER = 1e-3
LEAST_GAIN = 2.0  # matrices that shrink by less travel whole


class PowerSGD:
    """Factors Pᵀ·Q of ``rank`` rows for every matrix, found by one step of power iteration from the last Q.

    What the factors miss is added to the next gradient (error feedback); it and Q belong to one rank and one run, and
    are not part of a checkpoint. The first ``exact_steps`` steps travel whole.
    """

    period = 0
    carried: Sequence[Tensor] = ()

    def __init__(
        self, group: dist.ProcessGroup | None = None, *, rank: int = RANK, exact_steps: int = 10, seed: int = 0
    ) -> None:
        self._group = group
        self._rank = rank
        self._exact_steps = exact_steps
        self._seed, self._drawn = seed, 0
        self._buckets: list[tuple[GradBucket, Future[Tensor]]] = []
        self._bases: dict[Tensor, Tensor] = {}  # by parameter: the last step's Q, rank × columns
        self._errors: dict[Tensor, Tensor] = {}

    def begin(self, parameters: Sequence[Tensor], carried: Sequence[Tensor] = ()) -> None:
        """Nothing is owed yet."""
        self._bases.clear()
        self._errors.clear()

    def reduce(self, bucket: GradBucket, part: Part) -> Future[Tensor]:
        if bucket.index() == 0:
            self._buckets.clear()  # of a backward pass that was broken off
        future = pending(bucket.buffer())
        self._buckets.append((bucket, future))
        if bucket.is_last():
            self._reduce_all()
        return future

    def share(self, parameters: Sequence[Tensor], weight: float, lock: Lock) -> None:
        """Nothing: equal gradients keep them equal."""

    def _reduce_all(self) -> None:
        matrices: list[tuple[Tensor, Tensor]] = []
        whole: list[Tensor] = []
        for bucket, _ in self._buckets:
            for parameter, gradient in zip(bucket.parameters(), bucket.gradients()):
                if self._exact_steps <= 0 and self._shrinks(gradient):
                    matrices.append((parameter, gradient.view(gradient.shape[0], -1)))
                else:
                    whole.append(gradient)
        self._exact_steps -= 1
        self._compress(matrices, whole)
        for bucket, future in self._buckets:
            future.set_result(bucket.buffer())
        self._buckets.clear()

    def _shrinks(self, gradient: Tensor) -> bool:
        if gradient.dim() < 2:
            return False
        rows = gradient.shape[0]
        columns = gradient.numel() // rows
        return (rows + columns) * min(self._rank, rows, columns) * LEAST_GAIN < rows * columns

    def _compress(self, matrices: Sequence[tuple[Tensor, Tensor]], whole: Sequence[Tensor]) -> None:
        """Every matrix becomes the mean of its factors' product, every other gradient its own mean; in place."""
        for parameter, matrix in matrices:
            if parameter in self._errors:
                matrix.add_(self._errors[parameter])
        lefts = [self._basis(parameter, matrix) @ matrix.t() for parameter, matrix in matrices]
        means = self._averages([*lefts, *whole])
        for gradient, mean in zip(whole, means[len(lefts) :]):
            gradient.copy_(mean)
        lefts = [orthonormalize(left) for left in means[: len(lefts)]]
        rights = self._averages([left @ matrix for (_, matrix), left in zip(matrices, lefts)])
        for (parameter, matrix), left, right in zip(matrices, lefts, rights):
            error = self._errors.setdefault(parameter, torch.empty_like(matrix))
            torch.addmm(matrix, left.t(), right, alpha=-1, out=error)
            torch.mm(left.t(), right, out=matrix)
            self._bases[parameter] = orthonormalize(right)

    def _basis(self, parameter: Tensor, matrix: Tensor) -> Tensor:
        """Q as rows. Those that came to nothing begin anew at random, or they would be nothing for ever."""
        rows, columns = matrix.shape
        basis = self._bases.get(parameter, matrix.new_zeros(min(self._rank, rows, columns), columns))
        empty = ~basis.any(dim=1, keepdim=True)
        if empty.any():
            # The same on every rank: parameters come in the same order everywhere.
            self._drawn += 1
            source = torch.Generator().manual_seed(self._seed + self._drawn)
            drawn = torch.randn(basis.shape, generator=source).to(matrix)
            basis = orthonormalize(torch.where(empty, drawn, basis))
        return basis

    def _averages(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        return weighted_sum(tensors, 1 / dist.get_world_size(self._group), self._group)


def orthonormalize(matrix: Tensor) -> Tensor:
    """The rows made orthonormal, in place; one that depends on those before it becomes zero.

    Modified Gram-Schmidt by elementwise means: ranks on unlike processors must come to nearly the same factors.
    """
    for index, row in enumerate(matrix):
        before = row.norm()
        for earlier in matrix[:index]:
            row.sub_(earlier * torch.dot(earlier, row))
        after = row.norm()
        kept = after > before * LEAST_REMAINDER
        row.mul_(torch.where(kept, 1 / after.clamp_min(torch.finfo(matrix.dtype).tiny), torch.zeros_like(after)))
    return matrix
