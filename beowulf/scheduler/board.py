"""What every node has left, kept by shape: nodes that have the same left give the same answers, found once.

A cluster of thousands of nodes has a few hundred shapes, and a job asks each shape instead of each node.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TypeAlias

from immutables import Map

from beowulf.model.allocation import Allocation
from beowulf.model.node import Node, NodeId
from beowulf.scheduler.parts import shape_of
from beowulf.scheduler.request import Request
from beowulf.scheduler.room import Left, Offer, Room, Shape, allowed, give_back, left_over, take, trait_of

Spot: TypeAlias = tuple[Room, Shape]
Rooms: TypeAlias = Map[int, Spot]
Buckets: TypeAlias = Mapping[Shape, tuple[int, ...]]

MOST_KNOWN = 200_000


class Fits:
    """Which shape fits which request: true for ever, so it may be kept from plan to plan."""

    def __init__(self) -> None:
        self.requests: dict[Request, Request] = {}
        self._traits: dict[Shape, int] = {}
        self._known: dict[Request, dict[Shape, Left | None]] = {}
        self._count = 0

    def trait(self, node: Node) -> int:
        return self._traits.setdefault(trait_of(node), len(self._traits))

    def shape(self, room: Room, like: Shape | None = None) -> Shape:
        """``like``: a shape that the same node had."""
        trait = self.trait(room.node) if like is None else like[0]
        gpus = tuple((gpu.kind, gpu.memory_mib, gpu.compute_capability) for gpu in room.gpus) if room.gpus else ()
        return trait, len(room.cpus), room.memory_mib, bool(room.tenants), gpus, tuple(map(shape_of, room.parts))

    def known(self, request: Request) -> dict[Shape, Left | None]:
        if self._count > MOST_KNOWN:
            self._known.clear()
            self.requests.clear()
            self._count = 0
        return self._known.setdefault(request, {})

    def left(self, known: dict[Shape, Left | None], request: Request, spot: Spot) -> Left | None:
        room, shape = spot
        if shape not in known:
            known[shape] = left_over(request, room)
            self._count += 1
        return known[shape]


def filled(spots: Mapping[int, Spot]) -> tuple[Rooms, Buckets]:
    """What a `Board` is made from; the places come in ascending order."""
    buckets: dict[Shape, list[int]] = {}
    for place, (room, shape) in spots.items():
        if room.cpus:
            buckets.setdefault(shape, []).append(place)
    return Map(spots), {shape: tuple(places) for shape, places in buckets.items()}


class Board:
    """Changed while one plan is made; what `fork` and `finish` cost goes by the shapes, not by the nodes."""

    def __init__(self, fits: Fits, rooms: Rooms | None = None, buckets: Buckets | None = None) -> None:
        self.fits = fits
        self._rooms = (Map[int, Spot]() if rooms is None else rooms).mutate()
        self._buckets: dict[Shape, tuple[int, ...]] = dict(buckets or {})

    def finish(self) -> tuple[Rooms, Buckets]:
        rooms = self._rooms.finish()
        self._rooms = rooms.mutate()
        return rooms, dict(self._buckets)

    def fork(self) -> Board:
        return Board(self.fits, *self.finish())

    def room(self, place: int) -> Room | None:
        spot = self._rooms.get(place)
        return spot[0] if spot else None

    def put(self, place: int, room: Room | None) -> None:
        """``None``: nothing may start there."""
        old = self._rooms.get(place)
        if old is not None:
            self._leave(place, old[1])
        if room is None:
            if old is not None:
                del self._rooms[place]
            return
        shape = self.fits.shape(room, old[1] if old is not None and old[0].node is room.node else None)
        self._rooms[place] = (room, shape)
        if not room.cpus:  # every job needs a thread: nobody has to look here
            return
        there = self._buckets.get(shape, ())
        at = bisect_left(there, place)
        self._buckets[shape] = (*there[:at], place, *there[at:])

    def _leave(self, place: int, shape: Shape) -> None:
        there = self._buckets.get(shape)
        if there is None:  # no thread was free there
            return
        at = bisect_left(there, place)
        left = there[:at] + there[at + 1 :]
        if left:
            self._buckets[shape] = left
        else:
            del self._buckets[shape]

    @property
    def full(self) -> bool:
        """No node has a thread to give."""
        return not self._buckets

    def threads(self) -> int:
        """Free ones, of all nodes."""
        return sum(len(places) * len(self._rooms[places[0]][0].cpus) for places in self._buckets.values())

    def take(self, tag: str, allocation: Allocation, places: Iterable[int]) -> None:
        for share, place in zip(allocation.shares, places, strict=True):
            room = self.room(place)
            if room is not None:
                self.put(place, take(room, tag, share))

    def give_back(self, tag: str, allocation: Allocation, places: Iterable[int | None]) -> None:
        for share, place in zip(allocation.shares, places, strict=True):
            room = self.room(place) if place is not None else None
            if place is not None and room is not None:
                self.put(place, give_back(room, tag, share))

    def offers(self, request: Request, most: int | None, spare: Collection[int] = ()) -> list[Offer]:
        """Nodes that fit, by name; of each shape the first ``most``, which nothing but their names tells apart.

        ``spare`` are places to take before others.
        """
        found: list[Offer] = []
        first: dict[Shape, list[int]] = {}
        for place in sorted(spare):
            spot = self._rooms.get(place)
            if spot is not None:
                first.setdefault(spot[1], []).append(place)
        for shape, left, places in self._fitting(request):
            chosen = self._named(request, tuple(first[shape]))[:most] if shape in first else ()
            found += [Offer(self._rooms[place][0], left, place, True) for place in chosen]
            others = self._named(request, places)[: None if most is None else most + len(chosen)]
            if chosen:
                others = tuple(place for place in others if place not in spare)
            found += [Offer(self._rooms[place][0], left, place) for place in others]
        found.sort(key=_place)
        return found

    def places(self, request: Request) -> list[int]:
        """Every node that fits, by name."""
        return sorted(self.anyhow(request))

    def anyhow(self, request: Request) -> Iterator[int]:
        """As `places`, in no order."""
        for _, _, places in self._fitting(request):
            yield from self._named(request, places)

    def count(self, request: Request) -> int:
        return sum(len(self._named(request, places)) for _, _, places in self._fitting(request))

    def fits_at(self, request: Request, room: Room) -> bool:
        if not allowed(request, room.node.id):
            return False
        return self.fits.left(self.fits.known(request), request, (room, self.fits.shape(room))) is not None

    def _fitting(self, request: Request) -> Iterator[tuple[Shape, Left, tuple[int, ...]]]:
        known, fits, rooms = self.fits.known(request), self.fits, self._rooms
        for shape, places in self._buckets.items():
            left = known[shape] if shape in known else fits.left(known, request, rooms[places[0]])
            if left is not None:
                yield shape, left, places

    def _named(self, request: Request, places: tuple[int, ...]) -> tuple[int, ...]:
        if not (request.nodelist or request.exclude or request.avoid):
            return places
        return tuple(place for place in places if allowed(request, self.node_id(place)))

    def node_id(self, place: int) -> NodeId:
        return self._rooms[place][0].node.id


def _place(offer: Offer) -> int:
    return offer.place
