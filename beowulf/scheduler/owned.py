"""Machines that were rented for one waiting job: they are nobody else's until it has started, here or there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from beowulf.model.cloud import Machine, MachineState
from beowulf.model.job import Job, JobId
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler.answers import Start
from beowulf.scheduler.board import Board
from beowulf.scheduler.gang import apart_now, gather
from beowulf.scheduler.lines import leave
from beowulf.scheduler.request import request_of, unswept
from beowulf.scheduler.room import Offer, offer
from beowulf.scheduler.state import State

COMING = (MachineState.INTENDED, MachineState.BOOTING, MachineState.READY)


def bought(snapshot: Snapshot, states: tuple[MachineState, ...] = COMING) -> dict[JobId, list[Machine]]:
    """What is there or on its way for jobs that wait, by number."""
    found: dict[JobId, list[Machine]] = {}
    for machine in sorted(snapshot.machines.values(), key=lambda one: one.number):
        if machine.state in states and machine.job_id in snapshot.pending:
            found.setdefault(machine.job_id, []).append(machine)
    return found


def set_apart(state: State, now: float) -> tuple[State, tuple[Start, ...]]:
    """The jobs that start on machines of their own, and the state without them and without all such machines."""
    own = bought(state.snapshot, (MachineState.READY,)) if state.snapshot.machines else {}
    if not own:
        return state, ()
    board, lines, starts = Board(state.fits, *state.free), state.lines, []
    for job_id, machines in own.items():
        job = state.snapshot.jobs[job_id]
        places = [state.place[machine.id] for machine in machines if machine.id in state.place]
        start = None if job.cancelled_by else _start(state, job, board, places, now)
        if start is not None:
            starts.append(start)
            lines = leave(lines, job)
        for place in places:
            board.put(place, None)
    return replace(state, free=board.finish(), lines=lines), tuple(starts)


def _start(state: State, job: Job, board: Board, places: list[int], now: float) -> Start | None:
    request = request_of(job.spec, job.owner, unswept(job) if job.attempts else (), job.most_nodes)
    rooms = {place: room for place in places if (room := board.room(place)) is not None}
    answers = [offer(request, room, place) for place, room in rooms.items()]
    offers = [answer for answer in answers if isinstance(answer, Offer)]
    gang = gather(request, offers, apart_now(state.snapshot, now)) if offers else None
    return Start(job.id, gang.allocation) if gang else None


def disappointed(snapshot: Snapshot, job: Job) -> frozenset[tuple[str, str]]:
    """(site, machine type) of machines that were ready for the job, and ended without having run it."""
    used = {node for attempt in job.attempts for node in attempt.allocation.nodes}
    gone: Mapping[bool, set[tuple[str, str]]] = {True: set(), False: set()}
    for machine in snapshot.machines.values():
        if machine.job_id == job.id and machine.ready_at and not machine.live:
            gone[machine.id in used].add((machine.offer.site, machine.offer.machine_type))
    return frozenset(gone[False] - gone[True])
