"""Who is measured beside whom: nothing of one machine at the same time. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from beowulf.model.node import Node, NodeId

Pair = tuple[NodeId, NodeId]


def machines(nodes: Sequence[Node]) -> list[list[NodeId]]:
    """Nodes in groups: those of one group share a machine (a lab's hosts) and are measured one after the other."""
    groups: dict[str, list[NodeId]] = {}
    for node in nodes:
        groups.setdefault(node.facts.boot_id or f"node {node.id}", []).append(node.id)
    return list(groups.values())


def rounds(names: Sequence[NodeId], peers: int) -> list[list[Pair]]:
    """Pairs in rounds, as in a tournament: every node at most once per round, ``peers`` rounds at most.

    With ``peers`` ≥ nodes − 1 every pair meets exactly once (circle method: the first stays, the others go round).
    """
    ring: list[NodeId | None] = [*names, *([None] if len(names) % 2 else [])]
    found = []
    for _ in range(min(max(len(ring) - 1, 0), peers)):
        half = len(ring) // 2
        met = [(one, other) for one, other in zip(ring[:half], reversed(ring[half:]), strict=True)]
        found.append([(one, other) for one, other in met if one is not None and other is not None])
        ring = [ring[0], ring[-1], *ring[1:-1]]
    return found


def apart(pairs: Sequence[Pair], machine_of: Callable[[NodeId], str]) -> list[list[Pair]]:
    """The same pairs in batches within which no machine takes part twice."""
    batches: list[tuple[set[str], list[Pair]]] = []
    for pair in pairs:
        used = {machine_of(name) for name in pair}
        batch = next((one for one in batches if not one[0] & used), None)
        if batch is None:
            batch = (set(), [])
            batches.append(batch)
        batch[0].update(used)
        batch[1].append(pair)
    return [pairs for _, pairs in batches]
