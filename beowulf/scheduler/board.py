"""The free resources while one plan is made, with every answer that can be given twice kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from immutables import Map

from beowulf.model.allocation import Allocation
from beowulf.model.node import Node, NodeId
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler.answers import BAD_CONSTRAINTS, NODE_NOT_AVAILABLE, Placement, Refusal
from beowulf.scheduler.gang import apart_now, gather, never_gathers, shortage
from beowulf.scheduler.request import Request
from beowulf.scheduler.room import Offer, empty_room, not_wanted, offer, room_of, take, unavailable
from beowulf.scheduler.wording import natural


@dataclass(frozen=True, slots=True)
class Prospects:
    """Where a request could ever run on the nodes as they are now; ``never`` is set when nowhere."""

    nodes: tuple[NodeId, ...]
    never: Refusal | None


class Board:
    def __init__(self, snapshot: Snapshot, now: float) -> None:
        self.apart = apart_now(snapshot, now)
        self.nodes: list[Node] = sorted(snapshot.nodes.values(), key=lambda node: natural(node.id))
        self._rooms = {
            node.id: room_of(node, snapshot.held.get(node.id, Map())) for node in self.nodes if node.schedulable
        }
        self._offers: dict[Request, dict[NodeId, Offer | Refusal]] = {}
        self._prospects: dict[Request, Prospects] = {}

    def prospects(self, request: Request) -> Prospects:
        if request not in self._prospects:
            self._prospects[request] = self._look_ahead(request)
        return self._prospects[request]

    def answers(self, request: Request) -> Mapping[NodeId, Offer | Refusal]:
        """What each node that could ever run the request would give now."""
        known = self._offers.setdefault(request, {})
        nodes = self.prospects(request).nodes
        for node in nodes:
            if node not in known:
                known[node] = offer(request, self._rooms[node])
        return known

    def take(self, tag: str, allocation: Allocation) -> None:
        for share in allocation.shares:
            self._rooms[share.node] = take(self._rooms[share.node], tag, share)
            for known in self._offers.values():
                known.pop(share.node, None)

    def _look_ahead(self, request: Request) -> Prospects:
        fitting: list[Offer] = []
        asleep: list[tuple[Node, Refusal]] = []
        for node in self.nodes:
            if not_wanted(request, node) is not None:
                continue
            # An unswept earlier attempt goes away by itself: it must not make the job look impossible.
            idle = offer(_calm(request), empty_room(node))
            absent = unavailable(node)
            if absent is not None and (isinstance(idle, Offer) or not node.root):
                asleep.append((node, absent))
            elif absent is None and isinstance(idle, Offer):
                fitting.append(idle)
        names = tuple(item.node.id for item in fitting)
        return Prospects(names, self._never(request, fitting, asleep))

    def _never(self, request: Request, fitting: list[Offer], asleep: list[tuple[Node, Refusal]]) -> Refusal | None:
        found = gather(request, {item.node.id: item for item in fitting}, self.apart)
        if isinstance(found, Placement):
            return None
        if len(fitting) >= request.min_nodes:
            return Refusal(NODE_NOT_AVAILABLE, found.sentence)
        if len(fitting) + len(asleep) >= request.min_nodes:
            return never_gathers(request, fitting, asleep)
        if not self.nodes:
            return Refusal(NODE_NOT_AVAILABLE, "the cluster has no nodes yet")
        answers = {node.id: self.when_idle(request, node) for node in self.nodes}
        return Refusal(BAD_CONSTRAINTS, shortage(request, answers, self.apart, free=""))

    def when_idle(self, request: Request, node: Node) -> Offer | Refusal:
        """This node's answer if nothing ran on it and it were up."""
        return not_wanted(request, node) or offer(_calm(request), empty_room(node))

    def now(self, request: Request, node: Node) -> Offer | Refusal:
        """This node's answer as things stand."""
        return unavailable(node) or not_wanted(request, node) or offer(request, self._rooms[node.id])


def _calm(request: Request) -> Request:
    return replace(request, avoid=()) if request.avoid else request
