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
from beowulf.scheduler.comparing import comparison, rented_instead
from beowulf.scheduler.estimates import UNKNOWN, Estimate, History, end_of, estimate, history_of, length_s
from beowulf.scheduler.foresight import start_of
from beowulf.scheduler.future import Future
from beowulf.scheduler.gang import gather
from beowulf.scheduler.limits import Limit, Spent, joint_limits, limits, waits
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

    ``starts_at``, ``ends_at``: if nothing new comes (seconds since the epoch); None when the known ends do not say.
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
    ends_at: float | None = None
    estimate: Estimate | None = None  # what ``ends_at`` goes by where the job has no limit
    suggestions: tuple[Suggestion, ...] = ()
    burst: str = ""  # why nothing is rented for it, or what will be; "": it does not ask for that


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
    found = _as_it_is(state, job, now)
    if found.reason is None:
        return _timed(found, job, state, now)
    starts_at = start_of(snapshot, now, job_id, chosen, spent) if found.when_idle is None else None
    world = (snapshot, chosen)
    by_itself = limits(world, now, job_id, spent)
    tips = suggestions(snapshot, now, job, chosen, spent)
    return replace(
        _timed(found, job, state, starts_at),
        suggestions=(*tips, *(() if spent() else rented_instead(snapshot, now, job_id, chosen))),
        burst="" if spent() else _burst(snapshot, now, job, chosen),
        limits=by_itself or joint_limits(world, now, job_id, spent),
    )


def _as_it_is(state: State, job: Job, now: float) -> Explanation:
    """What one plan says."""
    outlook = Outlook(state, now)
    request = request_of(job.spec, job.owner, unswept(job) if job.attempts else (), job.most_nodes)
    order = [one.id for one in in_order(state, now, policy_of(state.rules))]
    return Explanation(
        job.id,
        waits((state.snapshot, state.rules), now, job.id),
        ahead=tuple(order[: order.index(job.id)]),
        nodes=tuple((name, _said(outlook, request, name)) for name in state.order),
        when_idle=outlook.never(request),
        reservation=reservations_of(decide(state, now)).get(job.id),
        frees=_frees(state, outlook, request, now),
    )


def _burst(snapshot: Snapshot, now: float, job: Job, rules: Rules) -> str:
    found = comparison(snapshot, now, job.id, rules) if job.spec.burst.policy != "never" else None
    return found.sentence if found else ""


def _timed(found: Explanation, job: Job, state: State, starts_at: float | None) -> Explanation:
    length = length_s(job.spec, job.owner, state.history)
    ends_at = starts_at + length if starts_at is not None and length < UNKNOWN else None
    guess = None if job.spec.max_duration_s else estimate(job.spec, job.owner, state.history)
    return replace(found, starts_at=starts_at, ends_at=ends_at, estimate=guess)


@dataclass(frozen=True, slots=True)
class End:
    """When a running job is over; ``estimate`` is what that goes by where it has no limit."""

    at: float
    estimate: Estimate | None


def expected_end(snapshot: Snapshot, job: Job, rules: Rules | None = None) -> End | None:
    """None for a job that does not run, or of which nobody knows."""
    attempt = job.attempt
    if job.id not in snapshot.active or attempt is None or attempt.ending is not None:
        return None
    history = history_of(snapshot.jobs.values()) if (rules or Rules()).estimate else History()
    at = end_of(job, attempt, history)
    guess = None if job.spec.max_duration_s else estimate(job.spec, job.owner, history)
    return End(at, guess) if at < UNKNOWN else None


def _frees(state: State, outlook: Outlook, request: Request, now: float) -> tuple[tuple[NodeId, float], ...]:
    """Of the nodes that could run it: when each has room for it, if nobody else took it."""
    future = Future(state, Board(state.fits, *state.free), now)
    found = [(future.fits_from(request, place), place) for place in outlook.places(request)]
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
    outlook, request = Outlook(state, now), request_of(spec, "")
    never = outlook.never(request)
    if never is not None:
        return never
    board = Board(state.fits, *state.free)
    gang = gather(request, board.offers(request, None), outlook.apart)
    return Placement(gang.allocation) if gang else Refusal(RESOURCES, outlook.shortage(request, board))
