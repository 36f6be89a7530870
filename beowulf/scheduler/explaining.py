"""Why one job waits, and what a spec would get: the same answers as the plan's, for one job and in full."""

from __future__ import annotations

from dataclasses import replace

from immutables import Map

from beowulf.model.job import Job, JobId, JobSpec
from beowulf.model.rules import Rules
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler.answers import DEPENDENCY_NEVER_SATISFIED, RESOURCES, Explanation, Placement, Refusal
from beowulf.scheduler.board import Board
from beowulf.scheduler.gang import gather
from beowulf.scheduler.planning import decide, reservations_of
from beowulf.scheduler.policies import policy_of
from beowulf.scheduler.prospects import Outlook
from beowulf.scheduler.queueing import in_order
from beowulf.scheduler.request import Request, request_of, unswept
from beowulf.scheduler.state import fresh


def explain(snapshot: Snapshot, now: float, job_id: JobId, rules: Rules | None = None) -> Explanation | None:
    """Every reason why the job does not start now; None when it is not waiting for a placement."""
    job = snapshot.jobs.get(job_id)
    if job is None or job_id not in snapshot.pending:
        return None
    state = fresh(snapshot, rules or Rules())
    decided = decide(state, now)
    died = dict(decided.dead).get(job_id)
    reason = Refusal(DEPENDENCY_NEVER_SATISFIED, died) if died else decided.waiting.get(job_id)
    outlook = Outlook(state, now)
    request = request_of(job.spec, unswept(job) if job.attempts else ())
    queue = [one.id for one in in_order(state, now, policy_of(state.rules))]
    return Explanation(
        job_id,
        reason,
        ahead=tuple(queue[: queue.index(job_id)]),
        nodes=tuple((name, _said(outlook, request, name)) for name in state.order),
        when_idle=outlook.of(request).never,
        reservation=reservations_of(decided).get(job_id),
    )


def queue(snapshot: Snapshot, now: float, rules: Rules | None = None) -> list[Job]:
    """Everybody who waits, in the policy's order."""
    chosen = rules or Rules()
    return in_order(fresh(snapshot, chosen), now, policy_of(chosen))


def _said(outlook: Outlook, request: Request, name: str) -> str:
    answer = outlook.now(request, name)
    return answer.sentence if isinstance(answer, Refusal) else "fits"


def dry_run(snapshot: Snapshot, spec: JobSpec, now: float, *, idle: bool = False) -> Placement | Refusal:
    """Where the job would run if it were alone in the queue; with ``idle``, as if nothing ran either."""
    alone = replace(snapshot, pending=Map(), held=Map() if idle else snapshot.held)
    state = fresh(alone, Rules())
    outlook, request = Outlook(state, now), request_of(spec)
    never = outlook.of(request).never
    if never is not None:
        return never
    board = Board(state.fits, *state.free)
    gang = gather(request, board.offers(request, None), outlook.apart)
    return Placement(gang.allocation) if gang else Refusal(RESOURCES, outlook.shortage(request, board))
