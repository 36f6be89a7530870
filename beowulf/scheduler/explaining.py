"""Why one job waits, and what a spec would get: the same answers as the plan's, for one job and in full."""

from __future__ import annotations

from dataclasses import dataclass, replace

from immutables import Map

from beowulf.model.job import Job, JobId, JobSpec
from beowulf.model.node import NodeId
from beowulf.model.rules import Rules
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler.answers import RESOURCES, Placement, Reason, Refusal, Reservation
from beowulf.scheduler.board import Board
from beowulf.scheduler.foresight import start_of
from beowulf.scheduler.future import Future
from beowulf.scheduler.gang import gather
from beowulf.scheduler.limits import Limit, Spent, limits, waits
from beowulf.scheduler.planning import decide, reservations_of
from beowulf.scheduler.policies import policy_of
from beowulf.scheduler.prospects import Outlook
from beowulf.scheduler.queueing import in_order
from beowulf.scheduler.request import Request, request_of, unswept
from beowulf.scheduler.state import State, fresh
from beowulf.scheduler.suggestions import Suggestion, suggestions


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that keeps one pending job from starting now; ``reason`` is None when it would start.

    ``starts_at``: when it starts if nothing new comes (seconds since the epoch); None when the known ends do not say.
    """

    job_id: JobId
    reason: Reason | None
    ahead: tuple[JobId, ...] = ()  # pending jobs before it in the queue
    nodes: tuple[tuple[NodeId, str], ...] = ()  # each node's answer: "fits", or what it lacks
    when_idle: Reason | None = None  # why not even the idle cluster could run it
    reservation: Reservation | None = None
    limits: tuple[Limit, ...] = ()
    frees: tuple[tuple[NodeId, float], ...] = ()  # nodes with the moment from which they fit, as far as known
    starts_at: float | None = None
    suggestions: tuple[Suggestion, ...] = ()


def explain(
    snapshot: Snapshot, now: float, job_id: JobId, rules: Rules | None = None, spent: Spent = lambda: False
) -> Explanation | None:
    """Every reason why the job does not start now; None when it is not waiting for a placement.

    Once ``spent()`` the answer goes without what was not looked at yet.
    """
    job = snapshot.jobs.get(job_id)
    if job is None or job_id not in snapshot.pending:
        return None
    chosen = rules or Rules()
    state = fresh(snapshot, chosen)
    outlook = Outlook(state, now)
    request = request_of(job.spec, unswept(job) if job.attempts else ())
    reason = waits((snapshot, chosen), now, job_id)
    order = [one.id for one in in_order(state, now, policy_of(chosen))]
    found = Explanation(
        job_id,
        reason,
        ahead=tuple(order[: order.index(job_id)]),
        nodes=tuple((name, _said(outlook, request, name)) for name in state.order),
        when_idle=outlook.never(request),
        reservation=reservations_of(decide(state, now)).get(job_id),
        frees=_frees(state, outlook, request, now),
    )
    if reason is None:
        return replace(found, starts_at=now)
    return replace(
        found,
        limits=limits((snapshot, chosen), now, job_id, spent),
        starts_at=start_of(snapshot, now, job_id, chosen, spent) if found.when_idle is None else None,
        suggestions=suggestions(snapshot, now, job, chosen, spent),
    )


def _frees(state: State, outlook: Outlook, request: Request, now: float) -> tuple[tuple[NodeId, float], ...]:
    """Of the nodes that could run it: when each has room for it, if nobody else took it."""
    future = Future(state, Board(state.fits, *state.free), now)
    found = [(future.fits_from(request, place), place) for place in outlook.of(request).places]
    return tuple((state.order[place], at) for at, place in sorted(found) if at < float("inf"))


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
    never = outlook.never(request)
    if never is not None:
        return never
    board = Board(state.fits, *state.free)
    gang = gather(request, board.offers(request, None), outlook.apart)
    return Placement(gang.allocation) if gang else Refusal(RESOURCES, outlook.shortage(request, board))
