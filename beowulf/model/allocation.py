"""Which ranks sit on which threads and GPUs of which nodes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RankSlot:
    """One rank's place. ``cpus`` are operating-system thread numbers, ``gpus`` driver indices."""

    rank: int
    local_rank: int
    cpus: tuple[int, ...]
    gpus: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Share:
    """What one node gives to a gang. ``cpus`` of a share are the union of its ranks' cpus.

    ``gpu_mib`` above 0: so much of its one GPU's memory, a ``gpu_fraction`` of it, beside other jobs.
    """

    node: str
    ranks: tuple[RankSlot, ...]
    memory_mib: int = 0
    gpu_mib: int = 0
    gpu_fraction: float = 1.0
    owner: str = ""  # whose job it is, where it shares a GPU

    @property
    def cpus(self) -> tuple[int, ...]:
        return tuple(cpu for slot in self.ranks for cpu in slot.cpus)

    @property
    def threads(self) -> int:
        """How many different ones; ranks may share one."""
        return len({cpu for slot in self.ranks for cpu in slot.cpus})

    @property
    def gpus(self) -> tuple[int, ...]:
        return tuple(gpu for slot in self.ranks for gpu in slot.gpus)

    @property
    def gpu_count(self) -> float:
        """How many different ones; less than one where it has a part of one."""
        return len(set(self.gpus)) * self.gpu_fraction


@dataclass(frozen=True, slots=True)
class Allocation:
    """A whole gang, rank 0's node first."""

    shares: tuple[Share, ...]
    device: str = ""  # the kind every rank computes on: of the GPUs, or of the processors; "" for a mixture
    steps_per_s: float = 0.0  # expected of it when it was placed; 0: nothing was known

    @property
    def world_size(self) -> int:
        return sum(len(share.ranks) for share in self.shares)

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(share.node for share in self.shares)
