"""Clusters to replay on: the machines of an inventory, or so many that are alike."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from beowulf.model.allocation import Allocation
from beowulf.model.apply import apply
from beowulf.model.errors import BadInput
from beowulf.model.event import NodeAdded, NodeUp
from beowulf.model.node import Endpoint, Facts, Gpu, NodeId
from beowulf.model.snapshot import Snapshot

MACHINES = re.compile(r"(?P<machines>[0-9]{1,6}) +((?P<gpus>[0-9]{1,2})x)?(?P<kind>[A-Za-z][A-Za-z0-9._-]{0,40})")
THREADS_PER_GPU = 1


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


def machines_of(text: str) -> Snapshot:
    """``36 K80, 36 P100, 9 4xV100``: so many machines with so many GPUs of a kind (1 unless told), all up and idle.

    Machines of one kind stand behind one switch: they are a group of that name. Raises `BadInput`.
    """
    snapshot, number = Snapshot(), 0
    for part in text.split(","):
        found = MACHINES.fullmatch(part.strip())
        if found is None or not int(found["machines"]) or found["gpus"] == "0":
            raise BadInput(f"{part.strip()[:80]!r} is not a number of machines and their GPUs", hint="36 K80, 9 4xV100")
        gpus, kind = int(found["gpus"] or 1), found["kind"]
        cards = tuple(Gpu(index, kind, "nvidia", kind, 0) for index in range(gpus))
        facts = Facts(cpus=tuple(range(THREADS_PER_GPU * gpus)), gpus=cards)
        for _ in range(int(found["machines"])):
            number += 1
            snapshot = _with(snapshot, f"n{number}", facts, (kind,), "lab")
    return snapshot


def kinds_of(snapshot: Snapshot, allocation: Allocation) -> set[str]:
    """The kinds of the GPUs that were given."""
    return {
        gpu.kind
        for share in allocation.shares
        for gpu in snapshot.nodes[share.node].facts.gpus
        if gpu.index in frozenset(share.gpus)
    }


def _with(snapshot: Snapshot, name: NodeId, facts: Facts, groups: tuple[str, ...], site: str) -> Snapshot:
    added = NodeAdded(0.0, name, Endpoint(name), "", groups, site=site)
    return apply(apply(snapshot, added), NodeUp(0.0, name, f"/sim/{name}", facts))
