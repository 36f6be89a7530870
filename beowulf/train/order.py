"""The global order: which samples make which micro-batch, and which random numbers go with it."""

from __future__ import annotations

import ctypes
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

_MASK = (1 << 64) - 1


def seed_of(*numbers: int) -> int:
    """One seed of 63 bits out of (seed, step, global micro-batch): SplitMix64 (Steele, Lea, Flood 2014), chained."""
    state = 0
    for number in numbers:
        state = (state ^ (number & _MASK)) + 0x9E3779B97F4A7C15 & _MASK
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB & _MASK
        state ^= state >> 31
    return state >> 1


def reseed(seed: int) -> None:
    """Every random generator a script uses: torch on every device, Python's, and numpy's where it is loaded."""
    # torch.manual_seed does the same, but formats a stack trace each time for a CUDA that nobody started yet.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)
    random.seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed & 0xFFFFFFFF)


def standing() -> tuple[Any, ...]:
    """Where those generators stand: elsewhere once somebody has drawn from one."""
    states = [torch.default_generator.get_state(), *(one.get_state() for one in torch.cuda.default_generators)]
    numpy = sys.modules.get("numpy")
    drawn = () if numpy is None else (numpy.random.get_state()[1].tobytes(), *numpy.random.get_state()[2:])
    return (*(ctypes.string_at(one.data_ptr(), one.numel()) for one in states), random.getstate(), *drawn)


def epoch_order(samples: int, seed: int, epoch: int, shuffle: bool) -> torch.Tensor:
    """The dataset's indices in the order of this epoch, the same on every rank."""
    if not shuffle:
        return torch.arange(samples)
    return torch.randperm(samples, generator=torch.Generator().manual_seed(seed_of(seed, epoch)))


@dataclass(frozen=True)
class Batch:
    """A global batch: ``samples`` of the epoch's order from ``start``, in micro-batches of ``micro_batch`` at most."""

    start: int
    samples: int
    micro_batch: int

    @property
    def count(self) -> int:
        """Micro-batches."""
        return -(-self.samples // self.micro_batch)

    def micro(self, index: int) -> tuple[int, int]:
        """From where to where micro-batch ``index`` goes in the epoch's order.

        They are as equal as can be: a last one of a single sample would be none for BatchNorm.
        """
        least, larger = divmod(self.samples, self.count)
        first = self.start + index * least + min(index, larger)
        return first, first + least + (index < larger)

    def run(self, indices: Sequence[int]) -> tuple[int, int]:
        """The same of neighbouring micro-batches."""
        return self.micro(indices[0])[0], self.micro(indices[-1])[1]


def passes(indices: Sequence[int], together: int) -> list[tuple[int, ...]]:
    """Runs of at most ``together`` neighbours, which go through the model as one."""
    return [tuple(indices[first : first + together]) for first in range(0, len(indices), together)]


def block(split: Sequence[int], rank: int) -> list[int]:
    """The global micro-batches of ``rank``: the ranks take theirs in order, each a run of neighbours."""
    first = sum(split[:rank])
    return list(range(first, first + split[rank]))
