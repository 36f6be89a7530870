"""GPUs that several jobs use at once: how much of one a job takes, who may join, what is left.

Memory is what is shared out: a part of a GPU is so many MiB of it. Its cores are shared by the driver, in turns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from beowulf.model.job import Resources
from beowulf.model.node import Gpu, Node


@dataclass(frozen=True, slots=True)
class Part:
    """What is left of a GPU that somebody uses a part of; ``owners`` has one entry per job, sorted."""

    gpu: Gpu
    free_mib: int
    owners: tuple[str, ...]

    def less(self, mib: int, owner: str) -> Part:
        return Part(self.gpu, self.free_mib - mib, tuple(sorted((*self.owners, owner))))

    def more(self, mib: int, owner: str) -> Part:
        left = list(self.owners)
        left.remove(owner)
        return Part(self.gpu, self.free_mib + mib, tuple(left))


Cards: TypeAlias = tuple[tuple[Gpu, ...], tuple[Part, ...]]
"""(GPUs nobody uses, what is left of those that are used in part), each by index."""


def shape_of(part: Part) -> tuple[object, ...]:
    return part.gpu.kind, part.gpu.memory_mib, part.gpu.compute_capability, part.free_mib, part.owners


def part_mib(resources: Resources, gpu: Gpu) -> int:
    """How much of this GPU's memory the job takes; 0: all of it, alone, as where its size is not known."""
    return resources.gpu_part_mib or int(resources.gpu_fraction * gpu.memory_mib)


def may_join(resources: Resources, owner: str, node: Node, part: Part) -> bool:
    """Jobs of different users never share a GPU unless the node's owner allows it."""
    if len(part.owners) >= node.share_gpus or not 0 < part_mib(resources, part.gpu) <= part.free_mib:
        return False
    return node.share_between_users or all(other == owner for other in part.owners)


def joined(resources: Resources, owner: str, node: Node, parts: Iterable[Part]) -> Part | None:
    """Of the GPUs in use the fullest that the job may join. What is not chosen has no say in what is."""
    fitting = (part for part in parts if may_join(resources, owner, node, part))
    return min(fitting, key=lambda part: (part.free_mib, part.gpu.index), default=None)


def opened(gpus: Iterable[Gpu]) -> Gpu | None:
    """Of the GPUs nobody uses the smallest."""
    return min(gpus, key=lambda gpu: (gpu.memory_mib, gpu.index), default=None)


def taken(cards: Cards, indices: frozenset[int], mib: int, owner: str) -> Cards:
    """Without these GPUs, or, with ``mib`` above 0, without so much of each."""
    gpus, parts = cards
    if not indices:
        return cards
    others = tuple(gpu for gpu in gpus if gpu.index not in indices)
    if not mib:
        return others, tuple(part for part in parts if part.gpu.index not in indices)
    new = (Part(gpu, gpu.memory_mib, ()) for gpu in gpus if gpu.index in indices)
    used = (part.less(mib, owner) if part.gpu.index in indices else part for part in (*parts, *new))
    return others, tuple(sorted(used, key=lambda part: part.gpu.index))


def returned(cards: Cards, node: Node, indices: frozenset[int], mib: int, owner: str) -> Cards:
    """`taken`, undone. A GPU that nobody uses any more is whole again; one that may not be used is not given back."""
    gpus, parts = cards
    if not indices:
        return cards
    free = indices
    if mib:
        parts = tuple(part.more(mib, owner) if part.gpu.index in indices else part for part in parts)
        free = frozenset(part.gpu.index for part in parts if not part.owners)
        parts = tuple(part for part in parts if part.owners)
    whole = frozenset(gpu.index for gpu in gpus) | free
    return tuple(gpu for gpu in node.facts.gpus if gpu.usable and gpu.index in whole), parts
