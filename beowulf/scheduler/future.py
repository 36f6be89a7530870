"""When a job could start that cannot start now: nodes are given back as limits run out, and claims are in the way."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from heapq import merge
from itertools import groupby
from typing import TypeAlias

from immutables import Map

from beowulf.model.allocation import Share
from beowulf.model.job import split_tag
from beowulf.scheduler.board import Board
from beowulf.scheduler.claims import Claim, without
from beowulf.scheduler.estimates import end_of
from beowulf.scheduler.gang import Apart, Gang, together
from beowulf.scheduler.request import Request
from beowulf.scheduler.room import Offer, Room, allowed, give_back
from beowulf.scheduler.state import Release, State

SOON_S = 1.0  # what is past its limit may be gone any moment, but not now

Happening: TypeAlias = tuple[float, int, str, float, int]
"""(time, place, tag of what is released or "" for a window, threads released or the window's last moment, MiB)"""


@dataclass(frozen=True, slots=True)
class Opening:
    """The first moment at which a whole gang fits, on these nodes and in this room of each."""

    at: float
    rooms: Mapping[int, Room]


class Future:
    def __init__(self, state: State, bare: Board, now: float) -> None:
        self.claims: dict[int, list[Claim]] = {}
        self._state = state
        self._bare = bare
        self._now = now
        self._started: list[Release] = []
        self._shares: dict[tuple[int, str], Share] = {}  # of the starts of this plan

    def start(self, tag: str, gang: Gang, end: float) -> None:
        for share, place in zip(gang.allocation.shares, gang.places, strict=True):
            self._shares[place, tag] = share
            insort(self._started, (end, place, tag, share.threads, share.memory_mib))

    def earliest(
        self,
        request: Request,
        length_s: float,
        kept: Mapping[int, str],
        apart: Apart,
        latest_first: bool,
        far: float = float("inf"),
    ) -> Opening | None:
        """None when no known end of a job makes room before ``far``."""
        since: dict[int, tuple[float, float]] = {  # place → (fits from, last moment to start)
            place: (self._now, float("inf"))
            for place in self._bare.anyhow(request)
            if place not in self.claims and place not in kept
        }
        coming = Coming(self, self._bare, request)
        for at, happenings in groupby(self._happenings(request, length_s, kept), key=_time):
            if at >= far:
                return None
            for _, place, tag, number, memory_mib in happenings:
                if not tag:
                    since[place] = (at, number)
                elif place not in since and coming.fits(place, tag, int(number), memory_mib):
                    since[place] = (at, float("inf"))
            found = self._chosen(request, at, length_s, since, coming.rooms, apart, latest_first)
            if found:
                return Opening(at, found)
        return None

    def fits_from(self, request: Request, place: int) -> float:
        """When the node has room for its part of the request, whatever was promised; inf where no known end says."""
        if not allowed(request, self._state.order[place]):
            return float("inf")
        ends = sorted(max(end, self._now + SOON_S) for end, _ in self._ends(place))
        for at in (self._now, *ends):
            room = self._at(place, at)
            if room is not None and self._bare.fits_at(request, room):
                return at
        return float("inf")

    def _happenings(self, request: Request, length_s: float, kept: Mapping[int, str]) -> Iterator[Happening]:
        windows: list[Happening] = [
            (at, place, "", last, 0)
            for place in self.claims
            if place not in kept
            for at, last in self._windows(request, length_s, place)
        ]
        releases = merge(self._state.calendar, self._started) if self._started else self._state.calendar
        freed = (
            (max(end, self._now + SOON_S), place, tag, threads, memory_mib)
            for end, place, tag, threads, memory_mib in releases
            if place not in self.claims and place not in kept
        )
        return merge(sorted(windows), freed, key=_time) if windows else freed

    def share(self, place: int, tag: str) -> Share:
        started = self._shares.get((place, tag))
        return started or self._state.snapshot.held[self._state.order[place]][tag]

    def _chosen(
        self,
        request: Request,
        at: float,
        length_s: float,
        since: Mapping[int, tuple[float, float]],
        rooms: Mapping[int, Room],
        apart: Apart,
        latest_first: bool,
    ) -> dict[int, Room]:
        if len(since) < request.min_nodes:
            return {}
        ready = [place for place, (begin, last) in since.items() if begin <= at <= last]
        if len(ready) < request.min_nodes:
            return {}
        ready.sort(key=(lambda place: (-since[place][0], -place)) if latest_first else (lambda place: -place))
        if not apart and not request.system_mpi and not self._state.scattered:
            ready = ready[: request.min_nodes]
        offers = []
        for place in ready:
            room = self.over(place, at, length_s) if place in self.claims else rooms.get(place)
            room = room or self._bare.room(place)
            assert room is not None
            offers.append(Offer(room, (0, 0, 0), place))
        return {offer.place: offer.room for offer in together(request, offers, apart)}

    def over(self, place: int, at: float, length_s: float) -> Room | None:
        """What the node has free all the time from ``at`` on for so long; None when a claim wants all of it."""
        room = self._at(place, at)
        claims = [claim for claim in self.claims.get(place, ()) if claim.at < at + length_s and claim.until > at]
        if room is None or not claims:
            return room
        moments = {at, *(claim.at for claim in claims if claim.at > at)}
        return without(room, claims, min(self._memory(place, moment) for moment in moments))

    def _memory(self, place: int, moment: float) -> int:
        room = self._at(place, moment)
        taken = sum(claim.memory_mib for claim in self.claims.get(place, ()) if claim.at <= moment < claim.until)
        return (room.memory_mib if room else 0) - taken

    def slack_mib(self, place: int, at: float) -> int:
        """Memory left at that moment beside every claim there is on the node."""
        room = self._at(place, at)
        return (room.memory_mib if room else 0) - sum(claim.memory_mib for claim in self.claims.get(place, ()))

    def _at(self, place: int, at: float) -> Room | None:
        room = self._bare.room(place)
        for end, tag in self._ends(place):
            if room is not None and max(end, self._now + SOON_S) <= at:
                room = give_back(room, tag, self.share(place, tag))
        return room

    def _ends(self, place: int) -> list[tuple[float, str]]:
        ends = [(end, tag) for end, where, tag, _, _ in self._started if where == place]
        snapshot = self._state.snapshot
        for tag in snapshot.held.get(self._state.order[place], Map()):
            job = snapshot.jobs.get(split_tag(tag)[0])
            if job is not None and job.attempt is not None and job.tag == tag and not job.attempt.ended_at:
                ends.append((end_of(job, job.attempt, self._state.history), tag))
        return [(end, tag) for end, tag in ends if end != float("inf")]

    def _windows(self, request: Request, length_s: float, place: int) -> Iterator[tuple[float, float]]:
        """(first, last) moments between which the job may start on a node that has claims."""
        if not allowed(request, self._state.order[place]):
            return
        claims = self.claims[place]
        ends = {max(end, self._now + SOON_S) for end, _ in self._ends(place)}
        untils = {claim.until for claim in claims if self._now < claim.until < float("inf")}
        for at in sorted({self._now, *ends, *untils}):
            room = self.over(place, at, length_s)
            if room is not None and self._bare.fits_at(request, room):
                later = (claim.at for claim in claims if claim.at >= at + length_s)
                yield at, min(later, default=float("inf")) - length_s


class Coming:
    """Nodes without claims as their jobs end, one after the other. ``rooms``: those that have come to fit."""

    def __init__(self, future: Future, bare: Board, request: Request) -> None:
        self.rooms: dict[int, Room] = {}
        self._future, self._bare, self._request = future, bare, request
        self._cpus = 1 if request.resources.all_cpus else request.cpus
        self._memory_mib = request.resources.memory_mib
        self._counted: dict[int, tuple[int, int, list[str]]] = {}  # place → (threads, MiB, what is released)

    def fits(self, place: int, tag: str, threads: int, memory_mib: int) -> bool:
        """Whether the node fits once this is released, too."""
        counted = self._counted.get(place)
        if counted is None:
            room = self._bare.room(place)
            if room is None:
                return False
            counted = len(room.cpus), room.memory_mib, []
        cpus, memory, tags = counted[0] + threads, counted[1] + memory_mib, counted[2]
        tags.append(tag)
        self._counted[place] = cpus, memory, tags
        if cpus < self._cpus or memory < self._memory_mib:  # a count spares nearly every node the rest
            return False
        return self._really(place, tags)

    def _really(self, place: int, tags: list[str]) -> bool:
        room = self._bare.room(place)
        assert room is not None
        for one in tags:
            room = give_back(room, one, self._future.share(place, one))
        if not self._bare.fits_at(self._request, room):
            return False
        self.rooms[place] = room
        return True


def _time(happening: Happening) -> float:
    return happening[0]
