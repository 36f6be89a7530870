"""Which running jobs should go on with another number of nodes: more when some are idle, fewer when others wait.

A resize costs a job the time between two attempts, so it is left alone for a while after each; and a wish is only
uttered when the very plan that would follow it was tried out and gives the nodes to whom they are meant for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from beowulf.model.job import Job, JobId, JobState
from beowulf.model.node import NodeId
from beowulf.model.snapshot import Snapshot, queue_order
from beowulf.scheduler.answers import PRIORITY, RESOURCES, Placement, Plan
from beowulf.scheduler.board import Board
from beowulf.scheduler.gang import gather
from beowulf.scheduler.planning import plan
from beowulf.scheduler.request import Request, request_of, unswept
from beowulf.scheduler.wording import count, listed, natural


@dataclass(frozen=True, slots=True)
class Resize:
    """``nodes`` is the number of nodes the job should go on with."""

    job_id: JobId
    nodes: int
    sentence: str


def resizes(snapshot: Snapshot, now: float, every_s: float, but: frozenset[JobId] = frozenset()) -> tuple[Resize, ...]:
    """At most one at a time, of no job of ``but``; the next one is seen once this one is through.

    Empty while anything can just start.
    """
    candidates = [job for job in _elastic(snapshot) if job.id not in but and _settled(job, now, every_s)]
    if not candidates:
        return ()
    planned = plan(snapshot, now)
    if planned.starts:
        return ()
    wishes = (*_giving_back(snapshot, now, candidates, planned), *_growing(snapshot, now, candidates, planned))
    return wishes[:1]


def _elastic(snapshot: Snapshot) -> list[Job]:
    """Running jobs that can change their size, those served first before the others."""
    jobs = (snapshot.jobs[job_id] for job_id in snapshot.active)
    fit = (job for job in jobs if job.spec.elastic and job.state is JobState.RUNNING and not job.cancelled_by)
    return sorted(fit, key=queue_order)


def _settled(job: Job, now: float, every_s: float) -> bool:
    attempt = job.attempt
    assert attempt is not None
    return attempt.ending is None and now - attempt.started_at >= every_s


def _growing(snapshot: Snapshot, now: float, candidates: list[Job], planned: Plan) -> Iterator[Resize]:
    claimed = _claimed(snapshot, now, planned)
    for job in candidates:
        mine = _nodes(job)
        placed = _placed_anew(Board(_without(snapshot, job), now), job, job.spec.max_nodes)
        nodes = placed.allocation.nodes if placed else ()
        fresh = sorted(set(nodes) - mine, key=natural)
        if len(nodes) > len(mine) and not claimed & set(fresh):
            yield Resize(job.id, len(nodes), f"{_size_change(len(mine), len(nodes))}: {listed(fresh)} can be had")


def _giving_back(snapshot: Snapshot, now: float, candidates: list[Job], planned: Plan) -> Iterator[Resize]:
    """The first job that waits for nodes gets those that an elastic job of no higher priority has beyond its least."""
    waiting = [job for job in snapshot.queue() if _waits(planned, job.id)]
    for waiter in waiting[:1]:
        request = request_of(waiter.spec, unswept(waiter))
        for job in reversed(candidates):
            size = len(_nodes(job))
            for fewer in range(size - 1, job.spec.min_nodes - 1, -1):
                if job.spec.priority <= waiter.spec.priority and _helps(snapshot, now, job, fewer, request):
                    yield Resize(job.id, fewer, f"{_size_change(size, fewer)}: job {waiter.id} waits for nodes")
                    return


def _helps(snapshot: Snapshot, now: float, job: Job, fewer: int, request: Request) -> bool:
    """Whether the waiting request starts once the job was placed again on ``fewer`` nodes, which happens first."""
    board = Board(_without(snapshot, job), now)
    placed = _placed_anew(board, job, fewer)
    if placed is None:
        return False
    board.take(f"{job.id}.{len(job.attempts) + 1}", placed.allocation)
    return isinstance(gather(request, board.answers(request), board.apart), Placement)


def _placed_anew(board: Board, job: Job, most: int) -> Placement | None:
    """Where the plan would put the job if its attempt had ended."""
    earlier = replace(job, attempts=job.attempts[:-1])
    request = request_of(job.spec, unswept(earlier), most)
    found = gather(request, board.answers(request), board.apart)
    return found if isinstance(found, Placement) else None


def _without(snapshot: Snapshot, job: Job) -> Snapshot:
    """As if the job's attempt had been cleared everywhere."""
    held = snapshot.held
    for node in _nodes(job):
        if node in held:
            held = held.set(node, held[node].delete(job.tag) if job.tag in held[node] else held[node])
    return replace(snapshot, held=held)


def _nodes(job: Job) -> frozenset[NodeId]:
    return frozenset(job.attempt.allocation.nodes) if job.attempt else frozenset()


def _claimed(snapshot: Snapshot, now: float, planned: Plan) -> frozenset[NodeId]:
    """Every node that some job which waits for nodes could use."""
    board = Board(snapshot, now)
    waiting = (snapshot.jobs[job_id] for job_id in planned.waiting if _queues(planned, job_id))
    requests = {request_of(job.spec) for job in waiting}
    return frozenset(node for request in requests for node in board.prospects(request).nodes)


def _queues(planned: Plan, job_id: JobId) -> bool:
    return planned.waiting[job_id].code in (RESOURCES, PRIORITY) and job_id not in planned.impossible


def _waits(planned: Plan, job_id: JobId) -> bool:
    reason = planned.waiting.get(job_id)
    return reason is not None and reason.code == RESOURCES and job_id not in planned.impossible


def _size_change(size: int, to: int) -> str:
    return f"resized from {count(size, 'node')} to {to}"
