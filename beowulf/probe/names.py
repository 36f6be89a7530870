"""One machine under several names: which of them stands for it, so that no device is given out twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping

from beowulf.model.node import Node, NodeId, NodeState


def second_names(nodes: Iterable[Node], busy: Container[NodeId]) -> Mapping[NodeId, NodeId]:
    """Each name that may get no jobs → the one that stands for its machine. ``busy``: something of a job is there.

    A name that is down counts only while it is busy. Who is busy goes before who is not, who was accepted before who
    was refused, the older before the younger. Of rented machines the provider says which is which: none is refused.
    """
    by_machine: dict[str, list[Node]] = defaultdict(list)
    for node in nodes:
        if node.machine and (node.state is not NodeState.DOWN or node.id in busy):
            by_machine[node.machine].append(node)
    found: dict[NodeId, NodeId] = {}
    for same in by_machine.values():
        first = min(same, key=lambda one: (not one.rented, one.id not in busy, bool(one.same_as), one.generation))
        found.update({node.id: first.id for node in same if node is not first and not node.rented})
    return found
