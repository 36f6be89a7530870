"""What waiting jobs were promised, and what is left for others because of it.

A claim is a node's threads, GPUs and memory for a time to come. A job that would run from now on into that time sees
the node without them. Since every job here starts now, what it sees depends only on which claims begin before it
ends: so there is one board per begin of a claim, and `Views.until` picks it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from beowulf.model.allocation import Allocation
from beowulf.scheduler.board import Board
from beowulf.scheduler.parts import taken
from beowulf.scheduler.room import Room


@dataclass(frozen=True, slots=True)
class Claim:
    """``whole``: the node is nobody else's meanwhile."""

    owner: str  # a job's id, or the words for a maintenance
    place: int
    at: float
    until: float
    cpus: frozenset[int] = frozenset()
    gpus: frozenset[int] = frozenset()
    memory_mib: int = 0
    whole: bool = False
    gpu_mib: int = 0  # of its one GPU; 0: all of its GPUs
    user: str = ""


def without(room: Room, claims: Iterable[Claim], memory_mib: int) -> Room | None:
    """``room`` less what is claimed, with this much memory."""
    for claim in claims:
        if claim.whole:
            return None
        gpus, parts = taken((room.gpus, room.parts), claim.gpus, claim.gpu_mib, claim.user)
        room = replace(
            room,
            cpus=tuple(cpu for cpu in room.cpus if cpu not in claim.cpus),
            gpus=gpus,
            parts=parts,
            tenants=(*room.tenants, f"{claim.owner} (reserved)"),
        )
    return replace(room, memory_mib=memory_mib)


class Views:
    def __init__(self, bare: Board) -> None:
        self.bare = bare  # as if nothing were claimed
        self._times: list[float] = []  # when claims begin, ascending
        self._boards = [bare]  # the first: nothing but what is kept from now on; one more per begin

    def until(self, end: float) -> Board:
        """What a job sees that starts now and ends then."""
        return self._boards[bisect_left(self._times, end)]

    @property
    def full(self) -> bool:
        """Nothing more can start."""
        return all(board.full for board in self._boards)

    def take(self, tag: str, allocation: Allocation, places: Sequence[int]) -> None:
        for board in self._all():
            board.take(tag, allocation, places)

    def keep(self, places: Iterable[int]) -> None:
        """Nothing starts there from now on."""
        if self._boards[0] is self.bare:
            self._boards[0] = self.bare.fork()
        for place in places:
            for board in self._boards:
                board.put(place, None)

    def claim(self, claims: Sequence[Claim], slacks_mib: Sequence[int], again: frozenset[int]) -> None:
        """All of one begin, with the memory left on each node then. ``again``: the places that have claims already."""
        at = claims[0].at
        number = bisect_left(self._times, at)
        if number == len(self._times) or self._times[number] != at:
            self._times.insert(number, at)
            self._boards.insert(number + 1, self._boards[number].fork())
        for board in self._boards[number + 1 :]:
            for claim, slack_mib in zip(claims, slacks_mib, strict=True):
                room = board.room(claim.place)
                if room is not None:
                    board.put(claim.place, _reduced(room, claim, slack_mib, claim.place in again))

    def _all(self) -> list[Board]:
        return self._boards if self._boards[0] is self.bare else [self.bare, *self._boards]


def _reduced(room: Room, claim: Claim, slack_mib: int, again: bool) -> Room | None:
    # A second claim may fall into the first one's time: both are counted, which may be too careful but never too bold.
    memory = min(room.memory_mib - (claim.memory_mib if again else 0), slack_mib)
    return without(room, [claim], memory)
