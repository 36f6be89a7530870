"""Where a request could ever run on the nodes as they are now, and what each node says to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from immutables import Map

from beowulf.model.node import Node, NodeId, without_others
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler.answers import BAD_CONSTRAINTS, NODE_NOT_AVAILABLE, Refusal
from beowulf.scheduler.board import MOST_KNOWN, Board
from beowulf.scheduler.gang import Lacking, apart_now, gather, never_gathers, shortage
from beowulf.scheduler.request import Request
from beowulf.scheduler.room import Offer, busy_with_others, empty_room, not_wanted, offer, room_of, unavailable
from beowulf.scheduler.state import State

SHOWN = 4


class Outlook:
    """Answers for one snapshot, each worked out once."""

    def __init__(self, state: State, now: float) -> None:
        self.apart = apart_now(state.snapshot, now)
        self._snapshot: Snapshot = state.snapshot
        self._state = state
        if len(state.possible) > MOST_KNOWN:
            state.possible.clear()
        self._possible = {} if self.apart else state.possible
        self._places: dict[Request, tuple[int, ...]] = {}

    def possible(self, request: Request) -> bool:
        """Whether the nodes that are up could run it if they were idle."""
        known = self._possible.get(request)
        if known is None:
            known = self._possible[request] = self._gathers(_calm(request))
        return known

    @cached_property
    def _idle(self) -> Board:
        return Board(self._state.fits, *self._state.idle)

    def places(self, request: Request) -> tuple[int, ...]:
        """The nodes that would do if nothing ran on them, by name; they may be too few."""
        if request not in self._places:
            self._places[request] = tuple(self._idle.places(_calm(request)))
        return self._places[request]

    def _gathers(self, request: Request) -> bool:
        if self.apart or request.system_mpi or self._state.scattered:
            return gather(request, self._idle.offers(request, None), self.apart) is not None
        return self._idle.count(request) >= request.min_nodes

    def never(self, request: Request) -> Refusal | None:
        """Why the nodes that are up could not run it even if they were idle."""
        return None if self.possible(request) else self._never(_calm(request), self.places(request))

    def _never(self, request: Request, places: tuple[int, ...]) -> Refusal:
        if len(places) >= request.min_nodes:
            return Refusal(NODE_NOT_AVAILABLE, self.shortage(request, self._idle, free=""))
        asleep = self._asleep(request)
        if len(places) + len(asleep) >= request.min_nodes:
            return never_gathers(request, self._idle.offers(request, None), asleep)
        if not self._state.order:
            return Refusal(NODE_NOT_AVAILABLE, "the cluster has no nodes yet: beowulf init adds them")
        have = [name for name in self._state.order if isinstance(self.when_idle(request, name), Offer)]
        lacking = Lacking()
        for name in self._state.order:
            answer = self.when_idle(request, name)
            if isinstance(answer, Refusal):
                lacking = lacking.plus(name, answer.sentence)
        return Refusal(BAD_CONSTRAINTS, shortage(request, have, lacking, self.apart, self._sites(have), free=""))

    def _asleep(self, request: Request) -> list[tuple[Node, Refusal]]:
        """Nodes that are not up, or that others work on, and would do, as far as anybody knows."""
        found = []
        for name in self._state.order:
            node = self._snapshot.nodes[name]
            absent = unavailable(node) or busy_with_others(node)
            if absent is None or not_wanted(request, node) is not None:
                continue
            if not node.root or isinstance(offer(request, empty_room(without_others(node)), 0), Offer):
                found.append((node, absent))
        return found

    def when_idle(self, request: Request, name: str) -> Offer | Refusal:
        """This node's answer if nothing ran on it and it were up."""
        node = self._snapshot.nodes[name]
        return not_wanted(request, node) or offer(_calm(request), empty_room(node), 0)

    def now(self, request: Request, name: str) -> Offer | Refusal:
        """This node's answer as things stand."""
        node = self._snapshot.nodes[name]
        held = self._snapshot.held.get(name, Map())
        return unavailable(node) or not_wanted(request, node) or offer(request, room_of(node, held), 0)

    def shortage(self, request: Request, board: Board, free: str = "free ") -> str:
        """What is missing on ``board``, and where."""
        fitting = set(board.places(request))
        lacking = Lacking()
        for place in self.places(request) if free else ():
            if place in fitting:
                continue
            if lacking.total < SHOWN:
                lacking = lacking.plus(self._state.order[place], self._lacks(request, board, place))
            else:
                lacking = Lacking(lacking.first, lacking.total + 1)
        have = [self._state.order[place] for place in sorted(fitting)]
        return shortage(request, have, lacking, self.apart, self._sites(have), free)

    def _lacks(self, request: Request, board: Board, place: int) -> str:
        room = board.room(place)
        if room is None:
            name = self._state.order[place]
            rented = name in self._snapshot.machines
            return f"{name} {'was rented' if rented else 'is kept'} for a job that has not started yet"
        answer = offer(request, room, place)
        return answer.sentence if isinstance(answer, Refusal) else ""

    def _sites(self, names: Sequence[NodeId]) -> dict[NodeId, str]:
        return {name: self._snapshot.nodes[name].site for name in names}


def _calm(request: Request) -> Request:
    """An unswept earlier attempt goes away by itself: it must not make the job look impossible."""
    return replace(request, avoid=()) if request.avoid else request
