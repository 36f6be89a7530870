"""What is different since a cursor: the whole once, then only the jobs and nodes that changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from heapq import nlargest
from typing import Any

from immutables import Map
from starlette.responses import Response, StreamingResponse

from beowulf.api import render
from beowulf.api.call import Call, json_bytes
from beowulf.api.cloud import shown
from beowulf.api.head import Head
from beowulf.api.jobs import JSON_LINES
from beowulf.api.waker import waking
from beowulf.model.cloud import Machine, MachineId
from beowulf.model.job import Job, JobId, JobState
from beowulf.model.node import NodeId
from beowulf.model.snapshot import Snapshot, jobs_named
from beowulf.store import StoredEvent

BEAT_S = 2.0  # a line at least so often, also where nothing happened: the head is there
MOVING_S = 0.5  # while jobs are being prepared it is looked so often how far their files are
PACE_S = 0.1  # at most one line in this time
MOST_EVENTS = 5000  # who is further behind gets the whole again
ENDED = 500  # newest ended jobs of the whole, unless asked for more
PAGE = 500  # jobs in a line of the whole: a screen shows the first while the others are written
_ALL_NODES = frozenset({"ControllerStarted"})


async def changes(call: Call) -> Response:
    """JSON lines ``{"cursor", "whole", "jobs", "nodes", "gone", "loads", "transfers", "machines"}`` that never end.

    A ``whole`` line holds everything (all live jobs, the newest ended ones, all nodes); the others what differs from
    what was told before, ``gone`` being removed nodes. Where there are many jobs the whole comes in several lines, in
    the order that lists show them: the first is ``whole``, and all but the last have ``more`` and no cursor to go on
    from. ``loads`` says how busy nodes were, first of all in the last two minutes: ``{node: [load]}``, the newest in
    full. ``transfers`` (what travels to and from nodes) and ``machines`` (rented ones that are not gone) are few and
    come whole, null where they are as before. ``after`` is the cursor of the last line seen.
    """
    told = _Told(call.head, call.number("ended", ENDED))
    return StreamingResponse(_lines(call, told, call.number("after")), media_type=JSON_LINES)


async def _lines(call: Call, told: _Told, after: int) -> AsyncIterator[bytes]:
    lines = told.begin(after)
    said = 0.0
    with waking(call.head) as waker:
        while True:
            before = said
            while line := await call.blocking(_next, lines):
                yield line
                said = time.monotonic()
            if said > before:
                await asyncio.sleep(PACE_S)
            await waker.wait(MOVING_S if told.moving or told.preparing else BEAT_S)
            lines = told.more(time.monotonic() - said >= BEAT_S)


def _next(lines: Iterator[dict[str, Any]]) -> bytes:
    """In a worker's thread: a line may be megabytes long. ``b""``: there is none."""
    line = next(lines, None)
    return b"" if line is None else json_bytes(line) + b"\n"


class _Told:
    """What one listener knows."""

    def __init__(self, head: Head, ended: int) -> None:
        self._head = head
        self._ended = ended
        self._after = 0
        self._loads = 0
        self._reasons: dict[JobId, str] = {}  # of jobs that wait or are being prepared
        self._machines: Map[MachineId, Machine] | None = None
        self.moving: list[dict[str, Any]] = []
        self.preparing: set[JobId] = set()

    def begin(self, after: int) -> Iterator[dict[str, Any]]:
        position = self._head.position()
        if not 0 < after <= position or position - after > MOST_EVENTS:
            yield from self._whole(position)
            return
        self._after = after
        line = self._since(position)
        waiting = self._head.snapshot().pending
        jobs = [*line["jobs"], *self._with_new_reasons(waiting)]
        yield {**line, "jobs": jobs, "transfers": self.moving, "machines": self._rented()}

    def more(self, beat: bool) -> Iterator[dict[str, Any]]:
        """What has to be told already. With ``beat`` reasons are looked at, too."""
        position = self._head.position()
        if position == self._after and not beat and self._head.transfers() == self.moving:
            return
        if position - self._after > MOST_EVENTS:
            yield from self._whole(position)
            return
        line = self._since(position)
        if beat:
            line["jobs"] += self._with_new_reasons(list(self._reasons))
            line["machines"] = self._rented() or line["machines"]  # what they cost goes on
        yield line

    def _whole(self, position: int) -> Iterator[dict[str, Any]]:
        snapshot = self._head.snapshot()
        self.preparing.clear()
        self._after, self._reasons, self.moving = position, {}, self._head.transfers()
        few = {"transfers": self.moving, "machines": self._rented()}
        nodes = [render.node_summary(node, snapshot) for node in snapshot.nodes.values()]
        jobs = _in_order(snapshot, self._ended)
        for at in range(0, max(len(jobs), 1), PAGE):
            page, more = [self._summary(job) for job in jobs[at : at + PAGE]], at + PAGE < len(jobs)
            yield {
                "cursor": 0 if more else position,
                "whole": at == 0,
                "more": more,
                "jobs": page,
                "nodes": nodes if at == 0 else [],
                "gone": [],
                "loads": {} if more else self._new_loads(),
                **(few if at == 0 else dict.fromkeys(few)),
            }

    def _since(self, position: int) -> dict[str, Any]:
        # The position was read before the snapshot, which so holds all of these events.
        events = self._head.events(self._after, position - self._after, "") if position > self._after else []
        snapshot = self._head.snapshot()
        jobs = _jobs(events, snapshot)
        nodes = _nodes(events, jobs, snapshot)
        self._after = position
        known = [snapshot.nodes[node] for node in nodes if node in snapshot.nodes]
        before, self.moving = self.moving, self._head.transfers()
        return {
            "cursor": position,
            "whole": False,
            "jobs": [self._summary(job) for job in jobs],
            "nodes": [render.node_summary(node, snapshot) for node in known],
            "gone": [node for node in nodes if node not in snapshot.nodes],
            "loads": self._new_loads(),
            "transfers": self.moving if self.moving != before else None,
            "machines": None if snapshot.machines is self._machines else self._rented(),
        }

    def _rented(self) -> list[dict[str, Any]]:
        self._machines = self._head.snapshot().machines
        known = sorted(self._machines.values(), key=lambda one: one.number)
        return [shown(one, time.time()) for one in known if one.live]

    def _with_new_reasons(self, waiting: Iterable[JobId]) -> list[dict[str, Any]]:
        snapshot = self._head.snapshot()
        jobs = [job for job_id in waiting if (job := snapshot.job(job_id)) is not None]
        return [self._summary(job) for job in jobs if self._reasons.get(job.id) != self._head.reason(job)]

    def _new_loads(self) -> dict[NodeId, list[dict[str, Any]]]:
        self._loads, found = self._head.loads(self._loads)
        return {node: [*map(render.past_load, loads[:-1]), render.load(loads[-1])] for node, loads in found.items()}

    def _summary(self, job: Job) -> dict[str, Any]:
        reason = self._head.reason(job)
        if job.state is JobState.CONFIGURING:
            self.preparing.add(job.id)
        else:
            self.preparing.discard(job.id)
        if job.state in (JobState.PENDING, JobState.CONFIGURING):
            self._reasons[job.id] = reason
        else:
            self._reasons.pop(job.id, None)
        return render.job_summary(job, reason)


def _in_order(snapshot: Snapshot, ended: int) -> list[Job]:
    """What runs, what waits in the order it came, then so many of those that ended last."""
    waiting = sorted((snapshot.jobs[job_id] for job_id in snapshot.pending), key=lambda job: (job.number, job.id))
    past = (job for job in snapshot.jobs.values() if not job.live)
    newest = nlargest(ended, past, key=lambda job: job.ended_at)
    return [*(snapshot.jobs[job_id] for job_id in snapshot.active), *waiting, *newest]


def _jobs(events: Iterable[StoredEvent], snapshot: Snapshot) -> list[Job]:
    """The jobs that events speak of, an array's tasks for its number; forgotten ones are left out."""
    names = dict.fromkeys(event.job_id for event in events if event.job_id)
    return [job for name in names for job in jobs_named(snapshot, name)]


def _nodes(events: Iterable[StoredEvent], jobs: Iterable[Job], snapshot: Snapshot) -> list[NodeId]:
    """Nodes that events speak of, and those of the jobs: what is used of them may be different."""
    names: dict[NodeId, None] = {}
    for event in events:
        if event.node_id:
            names[event.node_id] = None
        if event.kind in _ALL_NODES:
            names.update(dict.fromkeys(snapshot.nodes))
    for job in jobs:
        if job.attempt is not None:
            names.update(dict.fromkeys(job.attempt.allocation.nodes))
    return list(names)
