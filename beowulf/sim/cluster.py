"""Clusters to replay on: the machines of an inventory, or so many that are alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from beowulf.model.apply import apply
from beowulf.model.event import NodeAdded, NodeUp
from beowulf.model.node import Endpoint, Facts, Gpu, NodeId
from beowulf.model.snapshot import Snapshot


class Machine(Protocol):
    """What an inventory says of one machine."""

    @property
    def name(self) -> NodeId: ...
    @property
    def groups(self) -> tuple[str, ...]: ...
    @property
    def site(self) -> str: ...
    @property
    def max_cpus(self) -> int: ...
    @property
    def max_memory_mib(self) -> int: ...


def cluster_of(machines: Sequence[Machine], *, threads: int, memory_mib: int = 0) -> Snapshot:
    """All up and idle. ``threads`` and ``memory_mib`` are those of machines whose entry sets no limit."""
    snapshot = Snapshot()
    for machine in machines:
        cpus = machine.max_cpus or threads
        facts = Facts(cpus=tuple(range(cpus)), memory_mib=machine.max_memory_mib or memory_mib)
        snapshot = _with(snapshot, machine.name, facts, machine.groups, machine.site)
    return snapshot


def flat_cluster(nodes: int, threads: int = 1, gpus: Sequence[tuple[str, int]] = ()) -> Snapshot:
    """``nodes`` alike; ``gpus``: (kind, memory in MiB) of each GPU of each node."""
    snapshot = Snapshot()
    cards = tuple(Gpu(index, kind, "nvidia", kind, memory) for index, (kind, memory) in enumerate(gpus))
    for number in range(1, nodes + 1):
        facts = Facts(cpus=tuple(range(threads)), memory_mib=1024 * threads, gpus=cards)
        snapshot = _with(snapshot, f"n{number}", facts, (), "lab")
    return snapshot


def _with(snapshot: Snapshot, name: NodeId, facts: Facts, groups: tuple[str, ...], site: str) -> Snapshot:
    added = NodeAdded(0.0, name, Endpoint(name), "", groups, site=site)
    return apply(apply(snapshot, added), NodeUp(0.0, name, f"/sim/{name}", facts))
