"""``plan(snapshot, now)``: what to start now, and why the rest waits.

One walk down the queue, by the policy's order. Who fits starts. Who does not gets a reservation, as long as the policy
gives any, or one spares a machine: the earliest moment at which the limits of what runs make room, and the nodes for
it. Whoever comes later starts only where that leaves every reservation as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeAlias

from beowulf.model.job import Job, JobId
from beowulf.model.rules import Rules
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler.answers import (
    CANCELLED,
    DEPENDENCY_NEVER_SATISFIED,
    Plan,
    Reason,
    Refusal,
    Reservation,
    Start,
    Stop,
)
from beowulf.scheduler.board import Board
from beowulf.scheduler.choosing import Choices, Option, pace_of
from beowulf.scheduler.dependencies import Dependencies
from beowulf.scheduler.gang import Gang, gather
from beowulf.scheduler.lines import Key, Line, Ticket
from beowulf.scheduler.owned import set_apart
from beowulf.scheduler.patience import Chosen, Patience
from beowulf.scheduler.policies import KEEP_ALL, policy_of
from beowulf.scheduler.promises import Promises
from beowulf.scheduler.prospects import Outlook
from beowulf.scheduler.queueing import Queue
from beowulf.scheduler.quotas import Allowed, Quotas
from beowulf.scheduler.request import Request
from beowulf.scheduler.state import State, fresh, known
from beowulf.scheduler.turns import counts, may_wait_s, promises_more
from beowulf.scheduler.waiting import Told, Waiting

Memo: TypeAlias = State
"""What a plan leaves for the next one: a value; any earlier one does as well, only slower."""

_CANCELLED = Refusal(CANCELLED, "is being cancelled")
PATIENCE_S = 30.0  # who can start so soon preempts nobody
SHUNNED_S = 600.0  # a job does not go back so soon to where it was resized to and never came to run


def plan(snapshot: Snapshot, now: float, rules: Rules | None = None) -> Plan:
    """What to start now, and why the rest waits. Deterministic: ties break by (priority, submitted, number, index)."""
    if not snapshot.pending:
        return Plan()
    return decide(fresh(snapshot, rules or Rules()), now)


def replan(snapshot: Snapshot, now: float, rules: Rules, memo: Memo | None) -> tuple[Plan, Memo]:
    """`plan`, at a cost that goes by what changed since the plan that gave ``memo``; the answer is the same."""
    state = known(memo, snapshot, rules)
    return decide(state, now), state


def decide(state: State, now: float) -> Plan:
    left, starts = set_apart(state, now)
    decided = Walk(left, now).over() if left.lines else Plan()
    return replace(decided, starts=(*starts, *decided.starts)) if starts else decided


class Walk:
    """One plan while it is made."""

    def __init__(self, state: State, now: float) -> None:
        self.snapshot, self.rules, self.now = state.snapshot, state.rules, now
        self.outlook = Outlook(state, now)
        self._policy = policy_of(state.rules)
        self._more = promises_more(self._policy, state.rules)  # reservations that spare a machine
        depth = self._policy.depth + self._more
        self.promises = Promises(state, self.outlook, Board(state.fits, *state.free), now, depth)
        self._queue = Queue(state, now, self._policy)
        self._choices = Choices(state, self.outlook, self._queue.paces)
        self._patience = Patience(state, self._choices, now)
        self._rented = any(node.rented for node in state.snapshot.nodes.values())
        self._dependencies = Dependencies(state.snapshot)
        self._quotas = Quotas(state.snapshot, state.rules.quotas)
        self._full: set[tuple[Board, Request]] = set()
        self._likely: dict[int, bool] = {}  # by the request's identity: whether it is possible
        self._others: list[tuple[Line, int]] = []  # who waits without being looked at
        self._starts: list[Start] = []
        self._stops: list[Stop] = []
        self._dead: list[tuple[JobId, str]] = []
        self._impossible: list[JobId] = []
        self._told: dict[Key, Told] = {}
        self._reserved: dict[JobId, Callable[[], Reason]] = {}

    def over(self) -> Plan:
        for line, ticket in self._queue:
            if self._hopeless(line):
                self._others.append((line, self._queue.left(line)))
                continue
            self._consider(line, ticket)
            if self._nothing_left():
                self._others += self._queue.dismiss(self._ordinary)
        waiting = Waiting(self.snapshot, self._told, self._reserved, self._others, self._tell)
        times = self.promises.times() if self._told or self._reserved or self._others else []
        return Plan(
            tuple(self._starts),
            waiting,
            tuple(self._dead),
            tuple(self._impossible),
            tuple(self._stops),
            tuple(self.promises.reservations),
            (),
            min((time for time in times if time > self.now), default=float("inf")),
        )

    def _nothing_left(self) -> bool:
        """No room, and no reservation: all that can still be said of an ordinary job is that it waits."""
        return self._settled() and self.promises.views.full

    def _settled(self) -> bool:
        depth = self._policy.depth
        return (depth == KEEP_ALL or len(self.promises.reservations) >= depth) and not self.rules.quotas

    def _ordinary(self, line: Line) -> bool:
        request = line.request
        if id(request) not in self._likely:  # equal requests are one value, and a hash costs more than this
            self._likely[id(request)] = self.outlook.possible(request)
        return self._likely[id(request)] and line.plain and not self._may_spare(line)

    def _may_spare(self, line: Line) -> bool:
        """Whether a reservation beyond those of the policy may spare it a machine."""
        return self._more > 0 and counts(line)

    def _hopeless(self, line: Line) -> bool:
        """It gets no reservation, and its like did not fit."""
        if self._policy.depth == KEEP_ALL or not self._settled() or not line.plain or self._may_spare(line):
            return False
        if self._queue.paces.of(line.spec, line.owner, line.request):  # it may still fit a time that it alone knows
            return False
        board = self.promises.views.until(self.now + self._queue.length_s(line))
        return (board, line.request) in self._full

    def _tell(self, line: Line, number: int) -> Told:
        why = self.promises.refusal(line.request, self._queue.length_s(line))
        return Told(line, number, why, line.tickets[-number][3])

    def _consider(self, line: Line, ticket: Ticket) -> None:
        refusal = self._not_yet(line)
        if refusal is not None:
            self._refuse(line, ticket, refusal)
            return
        allowed = self._quotas.narrowed(line.request, line.spec, line.owner)
        if isinstance(allowed, Refusal):
            self._close(line, ticket, partial(_same, allowed))
            return
        request = self._without_shunned(line, ticket, self._where_it_may(line, ticket, allowed.request))
        if not self.outlook.possible(request):
            self._impossible += [waiting[3] for waiting in self._queue.rest(line, ticket)]
            self._close(line, ticket, partial(self._never, request))
            return
        found = self._chosen(line, ticket, request)
        if found.gang is not None:
            self._start(line, ticket, found.gang, found.option)
        else:
            self._wait(line, ticket, allowed, found)

    def _where_it_may(self, line: Line, ticket: Ticket, request: Request) -> Request:
        """Not yet on rented nodes that idle, for who has time to wait for others: there its run would cost money."""
        if not self._rented or not request.rented or not line.spec.burst.deadline_s or not self.rules.market.offers:
            return request
        if ticket[0] + may_wait_s(line.spec, self._queue.length_s(line), self.rules.market) <= self.now:
            return request
        here = replace(request, rented=False)
        return here if self.outlook.possible(here) else request

    def _without_shunned(self, line: Line, ticket: Ticket, request: Request) -> Request:
        until = self.snapshot.jobs[ticket[3]].attempts[-1].ended_at + SHUNNED_S if line.shunned else 0.0
        if until <= self.now:
            return request
        self.promises.look_again(until)
        return replace(request, avoid=(*request.avoid, *line.shunned))

    def _chosen(self, line: Line, ticket: Ticket, request: Request) -> Chosen:
        """The option the job takes now, or the one it waits for."""
        waited_s = max(0.0, self.now - ticket[0])
        options = self._choices.of(line, request, self._queue.length_s(line), waited_s)
        tried = ((option, self._gang(option.request, self.now + option.length_s)) for option in options)
        free = next(((option, gang) for option, gang in tried if gang is not None), None)
        mixed = self._mixed(line, request, options) if line.spec.mix_devices else None
        if mixed is not None and (free is None or self._choices.better(mixed[0], free[0])):
            options, free = self._choices.with_mixed(options, mixed[0]), mixed
        promised = self._policy.depth != KEEP_ALL and len(self.promises.reservations) < self._policy.depth
        return self._patience.chosen(options, free, self._opening_s if promised else None)

    def _mixed(self, line: Line, request: Request, options: list[Option]) -> tuple[Option, Gang] | None:
        """A gang of whatever is free, as far as a split by speed makes something of it."""
        gang = self._gang(request, self.now + self._queue.length_s(line))
        option = self._choices.mixed(line, options, request, gang) if gang is not None else None
        return (option, gang) if option is not None and gang is not None else None

    def _opening_s(self, option: Option) -> float:
        found = self.promises.soonest(option.request, option.length_s, self._policy.latest_first)
        return found.at - self.now if found else float("inf")

    def _gang(self, request: Request, end: float) -> Gang | None:
        """Boards only get fuller: what did not fit on one will not fit later in the same walk."""
        board = self.promises.views.until(end)
        if (board, request) in self._full:
            return None
        spare = self.promises.waited_for(end)
        gang = gather(request, board.offers(request, self._most(request), spare), self.outlook.apart)
        if gang is None:
            self._full.add((board, request))
        return gang

    def _never(self, request: Request) -> Refusal:
        never = self.outlook.never(request)
        assert never is not None
        return never

    def _most(self, request: Request) -> int | None:
        return None if self.outlook.apart else request.max_nodes

    def _not_yet(self, line: Line) -> Refusal | None:
        if line.cancelled:
            return _CANCELLED
        return self._dependencies.missing(line.spec.dependencies) if line.spec.dependencies else None

    def _refuse(self, line: Line, ticket: Ticket, refusal: Refusal) -> None:
        if refusal.code == DEPENDENCY_NEVER_SATISFIED:
            self._dead += [(waiting[3], refusal.sentence) for waiting in self._queue.rest(line, ticket)]
        else:
            self._close(line, ticket, partial(_same, refusal))

    def _start(self, line: Line, ticket: Ticket, gang: Gang, option: Option) -> None:
        job = self.snapshot.jobs[ticket[3]]
        pace = pace_of(line, option)
        allocation = replace(gang.allocation, steps_per_s=pace) if pace else gang.allocation
        self._starts.append(Start(job.id, allocation))
        self._quotas.take(line.owner, line.spec, allocation)
        self.promises.start(f"{job.id}.{len(job.attempts) + 1}", gang, self.now + option.length_s)
        self._patience.started(option)
        self._queue.next(line, ticket)

    def _wait(self, line: Line, ticket: Ticket, allowed: Allowed, found: Chosen) -> None:
        """A reservation where the policy has one to give; else the line is closed: its others are no better off."""
        job, option = self.snapshot.jobs[ticket[3]], found.option
        why = found.rather if found.declined else self.promises.refusal(option.request, option.length_s)
        why = partial(_narrowed, allowed.less, why) if allowed.less else why
        depth = self._policy.depth
        if depth == KEEP_ALL:
            self.promises.keep(job.id, self.outlook.places(option.request))
        elif len(self.promises.reservations) < depth:
            self._reserve(job, option)
        elif self._may_spare(line):
            self._spare(job, option)
        given = len(self.promises.reservations) >= depth and not self._may_spare(line)
        nothing_left = depth == KEEP_ALL or given
        if nothing_left and found.declined is None:
            self._close(line, ticket, why, job.id)
        else:  # the next of the line may be given a reservation, or take what this one declined
            self._reserved[job.id] = why
            self._queue.next(line, ticket)

    def _reserve(self, job: Job, option: Option) -> None:
        request, length_s = option.request, option.length_s
        service = self.rules.service(job.spec.service_class)
        found = self.promises.soonest(request, length_s, self._policy.latest_first)
        if service.preempts and (found is None or found.at > self.now + job.spec.kill_grace_s + PATIENCE_S):
            freed = self.promises.preempt(job, request, service, length_s)
            if freed:
                sentence = f"made way for job {job.id}, whose class {job.spec.service_class} may preempt it"
                self._stops += [Stop(other.id, len(other.attempts), job.id, sentence) for other in freed]
                return
        self.promises.reserve(job.id, request, length_s, found, self._policy.latest_first)

    def _spare(self, job: Job, option: Option) -> None:
        """A reservation, if it keeps the deadline: then nothing is rented."""
        self._more -= 1
        found = self.promises.soonest(option.request, option.length_s, latest_first=False)
        if found is not None and found.at + option.length_s <= job.submitted_at + job.spec.burst.deadline_s:
            self.promises.reserve(job.id, option.request, option.length_s, found, latest_first=False)

    def _close(self, line: Line, ticket: Ticket, reason: Callable[[], Reason], head: JobId = "") -> None:
        self._told[line.key] = Told(line, self._queue.left(line), reason, head)


def _narrowed(less: Refusal, why: Callable[[], Reason]) -> Refusal:
    return Refusal(less.code, f"{less.sentence}; of what is left: {why().sentence}")


def _same(refusal: Refusal) -> Refusal:
    return refusal


def reservations_of(decided: Plan) -> dict[JobId, Reservation]:
    return {reservation.job_id: reservation for reservation in decided.reservations}
