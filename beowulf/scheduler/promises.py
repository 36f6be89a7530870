"""What the walk has given away so far: starts, reservations, nodes that are kept; and what that leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

from beowulf.model.job import Job, JobId
from beowulf.model.rules import Maintenance, ServiceClass
from beowulf.scheduler.answers import NODE_NOT_AVAILABLE, PRIORITY, RESOURCES, Reason, Refusal, Reservation
from beowulf.scheduler.board import Board
from beowulf.scheduler.claims import Claim, Views
from beowulf.scheduler.future import Future, Opening
from beowulf.scheduler.gang import Gang, gather
from beowulf.scheduler.picking import part_of, pick_part
from beowulf.scheduler.preemption import Bench, next_ripe, victims
from beowulf.scheduler.prospects import Outlook
from beowulf.scheduler.request import Request
from beowulf.scheduler.room import Room, suitable
from beowulf.scheduler.state import State
from beowulf.scheduler.wording import moment

NEVER = float("inf")


class Promises:
    def __init__(self, state: State, outlook: Outlook, bare: Board, now: float, depth: int) -> None:
        self.views = Views(bare)
        self.reservations: list[Reservation] = []
        self._state, self._outlook, self._now = state, outlook, now
        self._future = Future(state, bare, now)
        self._depth = depth
        self._kept: dict[int, str] = {}  # place → for whom, from now on and until nobody knows
        self._claimed: list[tuple[int, str]] = []  # (place, for whom), in the order of the walk
        self._ripe: list[float] = []  # when there may be somebody to preempt, or somewhere to go again
        self._repairs: dict[int, list[Maintenance]] = {}
        for maintenance in sorted(state.rules.maintenance, key=lambda one: one.start):
            if maintenance.end > now:
                self._maintain(maintenance)

    def start(self, tag: str, gang: Gang, end: float) -> None:
        self.views.take(tag, gang.allocation, gang.places)
        self._future.start(tag, gang, end)

    def keep(self, job_id: JobId, places: Iterable[int]) -> None:
        """Nobody else starts on these nodes until the job does."""
        self.views.keep(places)
        for place in places:
            self._kept.setdefault(place, job_id)

    def waited_for(self, end: float) -> frozenset[int]:
        """Places that are claimed from ``end`` on, or later."""
        if end == NEVER or not self._future.claims:
            return frozenset()
        claims = self._future.claims.items()
        return frozenset(place for place, those in claims if all(one.at >= end for one in those))

    def soonest(self, request: Request, length_s: float, latest_first: bool) -> Opening | None:
        return self._future.earliest(request, length_s, self._kept, self._outlook.apart, latest_first)

    def reserve(
        self, job_id: JobId, request: Request, length_s: float, found: Opening | None, latest_first: bool
    ) -> None:
        if found is None:
            self._keep_best(job_id, request)
            return
        self._claim(job_id, request, found.at, length_s, found.rooms, latest_first)

    def preempt(self, job: Job, request: Request, service: ServiceClass, length_s: float) -> list[Job]:
        """The jobs to end for this one; their nodes are its own then. Empty when that does not help."""
        closed = {*self._future.claims, *self._kept}
        board = self.views.until(self._now + length_s)
        bench = Bench(self._state, self._state.rules, board, self._outlook.apart, closed, self._now)
        found = victims(bench, request, service)
        if found is None:
            self._ripe.append(next_ripe(bench, service))
            return []
        chosen, gang = found
        self.views.keep(gang.places)
        for place in gang.places:
            self._kept.setdefault(place, job.id)
        at = self._now + max(victim.spec.kill_grace_s for victim in chosen)
        self.reservations.append(Reservation(job.id, at, gang.allocation.nodes))
        return chosen

    def _keep_best(self, job_id: JobId, request: Request) -> None:
        """Nobody knows when there is room: it keeps what is nearest to being free, and gathers more as others end.

        What is kept only gets freer, and only something freer yet takes its place: so it comes to an end.
        """
        bare, now_free = self.views.bare, set(self.views.bare.places(request))
        places = [place for place in self._outlook.places(request) if place not in self._kept]

        def nearness(place: int) -> tuple[bool, int, int, int, int]:
            room = bare.room(place)
            gpus, cpus, memory = (len(room.gpus), len(room.cpus), room.memory_mib) if room else (0, 0, 0)
            return place not in now_free, -gpus, -cpus, -memory, place

        chosen = self._at_one_site(sorted(places, key=nearness), request.min_nodes)
        self.keep(job_id, chosen)
        self.reservations.append(Reservation(job_id, NEVER, self._names(chosen)))

    def _at_one_site(self, places: Sequence[int], number: int) -> list[int]:
        """The first so many that stand together: of the sites that have enough, the one whose last comes first."""
        nodes, order = self._state.snapshot.nodes, self._state.order
        found: dict[str, list[int]] = {}
        for place in places:
            mine = found.setdefault(nodes[order[place]].site, [])
            mine.append(place)
            if len(mine) == number:
                return mine
        return max(found.values(), key=len, default=[])

    def _claim(
        self, job_id: JobId, request: Request, at: float, length_s: float, rooms: Mapping[int, Room], latest_first: bool
    ) -> None:
        self.reservations.append(Reservation(job_id, at, self._names(sorted(rooms))))
        if self.views.full and len(self.reservations) >= self._depth:  # nobody is left whom it could hold up
            return
        again = frozenset(place for place in rooms if place in self._future.claims)
        claims = []
        for place, room in rooms.items():
            free = self.views.bare.room(place) if latest_first else None
            cpus, gpus = _claimed(request, room, free)
            claim = Claim(job_id, place, at, at + length_s, cpus, gpus, request.resources.memory_mib)
            part = part_of(request, room.node, tuple(gpus))[0]
            claims.append(replace(claim, gpu_mib=part, user=request.owner))
        self._record(claims, again)

    def _record(self, claims: Sequence[Claim], again: frozenset[int] = frozenset()) -> None:
        for claim in claims:
            self._future.claims.setdefault(claim.place, []).append(claim)
            self._claimed.append((claim.place, claim.owner))
        slacks = [self._future.slack_mib(claim.place, claim.at) for claim in claims]
        self.views.claim(claims, slacks, again)

    def _maintain(self, maintenance: Maintenance) -> None:
        places = [self._state.place[node] for node in maintenance.nodes if node in self._state.place]
        for place in places:
            self._repairs.setdefault(place, []).append(maintenance)
        if maintenance.start <= self._now:
            self.views.keep(places)
        owner = maintenance.reason or "maintenance"
        begin = max(maintenance.start, self._now)
        claims = [Claim(owner, place, begin, maintenance.end, whole=True) for place in places]
        if claims:
            self._record(claims)

    def look_again(self, at: float) -> None:
        self._ripe.append(at)

    def times(self) -> list[float]:
        """When a promise changes by itself."""
        repairs = {moment for those in self._repairs.values() for one in those for moment in (one.start, one.end)}
        return [*repairs, *self._ripe]

    def refusal(self, request: Request, length_s: float) -> Callable[[], Reason]:
        """Why it does not start, given what is promised at this point of the walk."""
        return partial(self._why, request, length_s, len(self._kept), len(self._claimed))

    def _why(self, request: Request, length_s: float, kept_before: int, claimed_before: int) -> Reason:
        kept = dict(islice(self._kept.items(), kept_before))
        claimed = dict(reversed(self._claimed[:claimed_before]))  # the first of a place counts
        bare, apart = self.views.bare, self._outlook.apart
        offers = bare.offers(request, None)
        if gather(request, offers, apart) is None:
            return Refusal(RESOURCES, self._outlook.shortage(request, bare))
        wanted = [offer.place for offer in offers]
        repaired = self._repaired(wanted, length_s)
        owner = next((kept[place] for place in wanted if place in kept), None)
        owner = owner or next(
            (claimed[place] for place in wanted if place in claimed and place not in self._repairs), None
        )
        if owner is None and repaired is not None:
            return repaired
        return Refusal(PRIORITY, f"behind job {owner}, which waits for the same nodes")

    def _repaired(self, places: Sequence[int], length_s: float) -> Refusal | None:
        for place in places:
            for one in self._repairs.get(place, ()):
                if one.start < self._now + length_s:
                    what = (
                        f"{self._state.order[place]} is kept for {one.reason or 'maintenance'} from {moment(one.start)}"
                    )
                    limit = "" if length_s < NEVER or one.start <= self._now else ", and the job has no max_duration"
                    return Refusal(NODE_NOT_AVAILABLE, f"{what} to {moment(one.end)}{limit}")
        return None

    def _names(self, places: Sequence[int]) -> tuple[str, ...]:
        return tuple(self._state.order[place] for place in places)


def _claimed(request: Request, room: Room, free: Room | None) -> tuple[frozenset[int], frozenset[int]]:
    """The threads and GPUs a claim takes of a room to come: rather those that are busy now (not in ``free``).

    Always by one fixed order, so that taking away what was not chosen never changes what is.
    """
    wanted = request.resources
    free_cpus = frozenset(free.cpus) if free else frozenset()
    free_gpus = frozenset(gpu.index for gpu in free.gpus) if free else frozenset()
    cpus = sorted(room.cpus, key=lambda cpu: (cpu in free_cpus, -cpu))
    gpus = sorted(suitable(request, room.gpus), key=lambda gpu: (gpu.index in free_gpus, -gpu.index))
    kinds = sorted({gpu.kind for gpu in gpus})
    alike = [[gpu for gpu in gpus if gpu.kind == kind] for kind in kinds]
    chosen = next((same for same in alike if len(same) >= wanted.gpus), gpus)[: wanted.gpus]
    if wanted.shares_gpu:
        part = pick_part(request, room)
        chosen = [part] if part is not None else []
    taken = cpus if wanted.all_cpus else cpus[: request.cpus]
    return frozenset(taken), frozenset(gpu.index for gpu in chosen)
