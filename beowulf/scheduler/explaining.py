"""Why one job waits, and what a spec would get: the same answers as the plan's, for one job and in full."""

from __future__ import annotations

from dataclasses import replace

from immutables import Map

from beowulf.model.job import JobId, JobSpec
from beowulf.model.node import Node
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler.answers import DEPENDENCY_NEVER_SATISFIED, Explanation, Placement, Refusal
from beowulf.scheduler.board import Board
from beowulf.scheduler.gang import gather
from beowulf.scheduler.planning import Planning, plan
from beowulf.scheduler.request import Request, request_of


def explain(snapshot: Snapshot, now: float, job_id: JobId) -> Explanation | None:
    """Every reason why the job does not start now; None when it is not waiting for a placement."""
    job = snapshot.jobs.get(job_id)
    if job is None or job_id not in snapshot.pending:
        return None
    queue = snapshot.queue()
    decided = plan(snapshot, now)
    died = dict(decided.dead).get(job_id)
    reason = Refusal(DEPENDENCY_NEVER_SATISFIED, died) if died else decided.waiting.get(job_id)
    planning = Planning(snapshot, now)
    request = planning.request(job)
    return Explanation(
        job_id,
        reason,
        ahead=tuple(before.id for before in queue[: [one.id for one in queue].index(job_id)]),
        nodes=tuple((node.id, _said(planning.board, request, node)) for node in planning.board.nodes),
        when_idle=planning.board.prospects(request).never,
    )


def _said(board: Board, request: Request, node: Node) -> str:
    answer = board.now(request, node)
    return answer.sentence if isinstance(answer, Refusal) else "fits"


def dry_run(snapshot: Snapshot, spec: JobSpec, now: float, *, idle: bool = False) -> Placement | Refusal:
    """Where the job would run if it were alone in the queue; with ``idle``, as if nothing ran either."""
    board = Board(replace(snapshot, held=Map()) if idle else snapshot, now)
    request = request_of(spec)
    return board.prospects(request).never or gather(request, board.answers(request), board.apart)
