"""A rank that runs out of memory: which errors say so, and micro-batches in smaller parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch


class Uncut(RuntimeError):
    """Something in a micro-batch does not lie sample by sample, so no part of it can be taken."""


def ran_out(error: BaseException) -> bool:
    """Whether ``error`` says that this process has not the memory for what it wanted."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    # torch has no type of its own for the memory of a processor.
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def sizes(samples: int, most: int) -> list[int]:
    """``samples`` in as few parts as can be of at most ``most``, as equal as can be."""
    least, larger = divmod(samples, -(-samples // most))
    return [least + (index < larger) for index in range(-(-samples // most))]


def cut(micro: Any, parts: Sequence[int]) -> list[Any]:
    """A collated micro-batch in ``parts`` of so many samples. Raises `Uncut`."""
    return [micro] if len(parts) == 1 else _cut(micro, list(parts))


def _cut(value: Any, parts: list[int]) -> list[Any]:
    if isinstance(value, torch.Tensor):
        if not value.dim() or len(value) != sum(parts):
            raise Uncut(f"a tensor of shape {tuple(value.shape)} is not one row for each of {sum(parts)} samples")
        return list(torch.split(value, parts))
    if isinstance(value, Mapping):
        columns = [_cut(column, parts) for column in value.values()]
        return [type(value)(zip(value, row)) for row in zip(*columns)]  # type: ignore[call-arg]
    if isinstance(value, (list, tuple)):
        return _cut_row(value, parts)
    raise Uncut(f"a {type(value).__name__} in a micro-batch cannot be told apart by samples")


def _cut_row(value: Any, parts: list[int]) -> list[Any]:
    """Words are one per sample; anything else is a row of columns."""
    if value and all(isinstance(word, (str, bytes)) for word in value):
        starts = [sum(parts[:index]) for index in range(len(parts))]
        return [value[start : start + size] for start, size in zip(starts, parts)]
    columns = [_cut(column, parts) for column in value]
    named = hasattr(value, "_fields")
    return [type(value)(*row) if named else type(value)(row) for row in zip(*columns)]
