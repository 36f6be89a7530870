"""How fast each rank of a gang and its line are beside the others, from what ``beowulf nodes bench`` measured."""

from __future__ import annotations

from collections.abc import Mapping

from beowulf.model.allocation import Allocation, RankSlot, Share
from beowulf.model.node import Node, NodeId
from beowulf.split.straggler import line_rate

PACKAGES = ("torch", "numpy", "python")


def relative_speeds(allocation: Allocation, nodes: Mapping[NodeId, Node]) -> tuple[float, ...]:
    """By rank, the fastest 1.0; empty unless one package measured every rank's device.

    A rank on some of a node's threads has that part of the node's rate.
    """
    for package in PACKAGES:
        rates = {
            slot.rank: _rate(nodes[share.node], share, slot, package)
            for share in allocation.shares
            if share.node in nodes
            for slot in share.ranks
        }
        if len(rates) == allocation.world_size and min(rates.values(), default=0.0) > 0:
            fastest = max(rates.values())
            return tuple(rates[rank] / fastest for rank in sorted(rates))
    return ()


def _rate(node: Node, share: Share, slot: RankSlot, package: str) -> float:
    """GFLOP/s; 0 where it was not measured."""
    measured = {one.device: one for one in node.profile.devices if one.package == package}
    if slot.gpus:
        found = [measured[f"gpu {index}"].gflops for index in slot.gpus if f"gpu {index}" in measured]
        return sum(found) if len(found) == len(slot.gpus) else 0.0
    cpu = measured.get("cpu")
    return cpu.gflops * len(slot.cpus) / cpu.threads if cpu and cpu.threads else 0.0


def line_rates(allocation: Allocation, nodes: Mapping[NodeId, Node]) -> tuple[float, ...]:
    """By rank, the MB/s its node has to the gang's others, 0 where nobody measured; empty where nobody did at all."""
    gang = set(allocation.nodes)
    rates = {
        slot.rank: line_rate(((link.peer, link.megabytes_per_s) for link in nodes[share.node].profile.links), gang)
        for share in allocation.shares
        if share.node in nodes
        for slot in share.ranks
    }
    return tuple(rates.get(rank, 0.0) for rank in range(allocation.world_size)) if any(rates.values()) else ()
