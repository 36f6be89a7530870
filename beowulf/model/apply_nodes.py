"""What each event of a node writes: there is no move that a node could not make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from beowulf.model import event as ev
from beowulf.model.node import Node, NodeState
from beowulf.model.snapshot import Snapshot


def _node_added(snapshot: Snapshot, event: ev.NodeAdded) -> Snapshot:
    generation = snapshot.generations + 1
    node = Node(
        event.node,
        event.endpoint,
        generation,
        host_key=event.host_key,
        groups=event.groups,
        tags=event.tags,
        site=event.site,
        rented=event.node in snapshot.machines,
        max_cpus=event.max_cpus,
        max_memory_mib=event.max_memory_mib,
        share_gpus=event.share_gpus,
        share_between_users=event.share_between_users,
        changed_at=event.at,
    )
    return replace(snapshot, nodes=snapshot.nodes.set(node.id, node), generations=generation)


def _node_removed(snapshot: Snapshot, event: ev.NodeRemoved) -> Snapshot:
    return replace(snapshot, nodes=snapshot.nodes.delete(event.node))


def _alter(snapshot: Snapshot, node_id: str, **changes: Any) -> Snapshot:
    node: Node | None = snapshot.nodes.get(node_id)
    if node is None:  # removed meanwhile
        return snapshot
    return replace(snapshot, nodes=snapshot.nodes.set(node_id, replace(node, **changes)))


def _node_up(snapshot: Snapshot, event: ev.NodeUp) -> Snapshot:
    node: Node | None = snapshot.nodes.get(event.node)
    return _alter(
        snapshot,
        event.node,
        failures=node.failures.faded(event.at) if node else None,
        state=NodeState.UP,
        reason="",
        root=event.root,
        facts=event.facts,
        changed_at=event.at,
    )


def _node_down(snapshot: Snapshot, event: ev.NodeDown) -> Snapshot:
    """One that was in order when it was lost has failed; a head that just came, or a drained node, proves nothing."""
    node: Node | None = snapshot.nodes.get(event.node)
    changes: dict[str, Any] = {"state": NodeState.DOWN, "reason": event.reason, "changed_at": event.at}
    if node is not None and node.schedulable:
        changes["failures"] = node.failures.counted(event.at)
    return _alter(snapshot, event.node, **changes)


def _node_drained(snapshot: Snapshot, event: ev.NodeDrained) -> Snapshot:
    return _alter(snapshot, event.node, drained=True, draining_reason=event.reason, changed_at=event.at)


def _node_resumed(snapshot: Snapshot, event: ev.NodeResumed) -> Snapshot:
    return _alter(snapshot, event.node, drained=False, draining_reason="", changed_at=event.at)


def _node_refused(snapshot: Snapshot, event: ev.NodeRefused) -> Snapshot:
    return _alter(snapshot, event.node, same_as=event.same_as, changed_at=event.at)


def _node_accepted(snapshot: Snapshot, event: ev.NodeAccepted) -> Snapshot:
    return _alter(snapshot, event.node, same_as="", changed_at=event.at)


def _node_rekeyed(snapshot: Snapshot, event: ev.NodeRekeyed) -> Snapshot:
    return _alter(snapshot, event.node, host_key=event.host_key, changed_at=event.at)


def _node_profiled(snapshot: Snapshot, event: ev.NodeProfiled) -> Snapshot:
    return _alter(snapshot, event.node, profile=event.profile)


def _peers_unreachable(snapshot: Snapshot, event: ev.PeersUnreachable) -> Snapshot:
    return replace(snapshot, unreachable=snapshot.unreachable.set((event.node, event.peer), event.until))


def _controller_started(snapshot: Snapshot, event: ev.ControllerStarted) -> Snapshot:
    doubted = {
        node.id: replace(node, state=NodeState.UNKNOWN, reason="the head has just started", changed_at=event.at)
        for node in snapshot.nodes.values()
    }
    return replace(snapshot, nodes=snapshot.nodes.update(doubted))


STEPS: Mapping[type[Any], Callable[[Snapshot, Any], Snapshot]] = {
    ev.NodeAdded: _node_added,
    ev.NodeRemoved: _node_removed,
    ev.NodeUp: _node_up,
    ev.NodeDown: _node_down,
    ev.NodeDrained: _node_drained,
    ev.NodeResumed: _node_resumed,
    ev.NodeRefused: _node_refused,
    ev.NodeAccepted: _node_accepted,
    ev.NodeRekeyed: _node_rekeyed,
    ev.NodeProfiled: _node_profiled,
    ev.PeersUnreachable: _peers_unreachable,
    ev.ControllerStarted: _controller_started,
}
