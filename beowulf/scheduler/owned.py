"""Machines that were rented for one waiting job: they are nobody else's until it has started, here, there or both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from beowulf.model.cloud import Machine, MachineState
from beowulf.model.job import Job, JobId
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler.answers import Start
from beowulf.scheduler.board import Board
from beowulf.scheduler.gang import Apart, apart_now, gather, stretched
from beowulf.scheduler.lines import leave
from beowulf.scheduler.request import Request, request_of, unswept
from beowulf.scheduler.room import Offer, offer
from beowulf.scheduler.state import State
from beowulf.scheduler.stretching import kept_beside

COMING = (MachineState.INTENDED, MachineState.BOOTING, MachineState.READY)


def bought(snapshot: Snapshot, states: tuple[MachineState, ...] = COMING) -> dict[JobId, list[Machine]]:
    """What is there or on its way for jobs that wait, by number."""
    found: dict[JobId, list[Machine]] = {}
    for machine in sorted(snapshot.machines.values(), key=lambda one: one.number):
        if machine.state in states and machine.job_id in snapshot.pending:
            found.setdefault(machine.job_id, []).append(machine)
    return found


def set_apart(state: State, now: float) -> tuple[State, tuple[Start, ...]]:
    """The jobs that start on machines of their own, and the state without them, without all such machines, and without
    the nodes here that wait for machines to join them."""
    own = bought(state.snapshot) if state.snapshot.machines else {}
    if not own:
        return state, ()
    board, lines, starts = Board(state.fits, *state.free), state.lines, []
    apart = apart_now(state.snapshot, now)
    for job_id, machines in own.items():
        job = state.snapshot.jobs[job_id]
        ready = [one for one in machines if one.state is MachineState.READY]
        places = [state.place[machine.id] for machine in ready if machine.id in state.place]
        here = waiting_here(state, board, job, machines)
        start = None if job.cancelled_by else _start(job, board, places, here, apart)
        if start is not None:
            starts.append(start)
            lines = leave(lines, job)
        for place in (*places, *(one.place for one in here)):
            board.put(place, None)
    return replace(state, free=board.finish(), lines=lines), tuple(starts)


def waiting_here(state: State, board: Board, job: Job, machines: list[Machine]) -> list[Offer]:
    """The nodes of our own that are kept free until the job's machines join them."""
    names = () if job.cancelled_by else kept_beside(state.snapshot, job, machines)
    return _fitting(job, board, [state.place[name] for name in names if name in state.place])


def _fitting(job: Job, board: Board, places: list[int]) -> list[Offer]:
    rooms = {place: room for place in places if (room := board.room(place)) is not None}
    answers = [offer(_request(job), room, place) for place, room in rooms.items()]
    return [answer for answer in answers if isinstance(answer, Offer)]


def _request(job: Job) -> Request:
    return request_of(job.spec, job.owner, unswept(job) if job.attempts else (), job.most_nodes)


def _start(job: Job, board: Board, places: list[int], here: list[Offer], apart: Apart) -> Start | None:
    request, there = _request(job), _fitting(job, board, places)
    if here and there and len(here) + len(there) == request.min_nodes:
        return Start(job.id, stretched(request, here, there).allocation)
    gang = gather(request, there, apart) if there else None
    return Start(job.id, gang.allocation) if gang else None


def disappointed(snapshot: Snapshot, job: Job) -> frozenset[tuple[str, str]]:
    """(site, machine type) of machines that were ready for the job, and ended without having run it."""
    used = {node for attempt in job.attempts for node in attempt.allocation.nodes}
    gone: Mapping[bool, set[tuple[str, str]]] = {True: set(), False: set()}
    for machine in snapshot.machines.values():
        if machine.job_id == job.id and machine.ready_at and not machine.live:
            gone[machine.id in used].add((machine.offer.site, machine.offer.machine_type))
    return frozenset(gone[False] - gone[True])
