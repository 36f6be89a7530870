"""What to rent now, and for whom: every job that waits and may burst is bargained for, in the queue's order.

The same requests are matched against imaginary nodes, one per offer. What is bought for one job takes its place out of
the queue before the next one is looked at, and its worst case out of everybody's money.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from immutables import Map

from beowulf.model.cloud import Offer
from beowulf.model.job import Job, JobId
from beowulf.model.market import UNLIMITED, Left, MarketRules
from beowulf.model.node import NodeId
from beowulf.scheduler.answers import CANCELLED, DEPENDENCY, QUOTA, Grow, Plan
from beowulf.scheduler.bargain import NEVER, Comparison, Wish, compare
from beowulf.scheduler.board import Board
from beowulf.scheduler.errand import Errand, Quote, errand_of, watched
from beowulf.scheduler.estimates import expected_s, length_s
from beowulf.scheduler.foresight import starts_of
from beowulf.scheduler.gang import apart_now
from beowulf.scheduler.imagined import fits, speed_here
from beowulf.scheduler.owned import bought, disappointed
from beowulf.scheduler.policies import policy_of
from beowulf.scheduler.queueing import Queue
from beowulf.scheduler.request import Request, request_of, unswept
from beowulf.scheduler.state import State
from beowulf.scheduler.stretching import consents, free_beside, kept_beside, stretch_of

LOOKED_AT = 200  # jobs per plan
BOUGHT = 64  # gangs per plan
FORESEEN = 200  # plans ahead
HINDERED = (QUOTA, DEPENDENCY, CANCELLED)  # more machines would not help


def grow(state: State, decided: Plan, now: float) -> tuple[tuple[Grow, ...], float, Map[str, float]]:
    """What to rent, when time alone changes the answer, and `State.quiet` anew."""
    jobs = list(_wanting(state, decided, now))
    if not jobs:
        return (), NEVER, Map()
    buyer = Buyer(state, decided, now)
    found = buyer.over(jobs)
    return found, min(buyer.quiet.values(), default=NEVER), Map(buyer.quiet)


def _wanting(state: State, decided: Plan, now: float) -> Iterator[Job]:
    """Who waits and may burst, in the queue's order; at most `LOOKED_AT`."""
    lines = {key: line for key, line in state.lines.items() if line.spec.burst.policy != "never" and not line.cancelled}
    if not lines:
        return
    starting = {start.job_id for start in decided.starts}
    dead = {job_id for job_id, _ in decided.dead}
    queue = Queue(replace(state, lines=type(state.lines)(lines)), now, policy_of(state.rules))
    looked_at = 0
    for line, ticket in queue:
        queue.next(line, ticket)
        job_id = ticket[3]
        if job_id in starting or job_id in dead or decided.waiting[job_id].code in HINDERED:
            continue
        yield state.snapshot.jobs[job_id]
        looked_at += 1
        if looked_at == LOOKED_AT:
            return


class Buyer:
    """One round of purchases while it is made."""

    def __init__(self, state: State, decided: Plan, now: float) -> None:
        self._state, self._now = state, now
        self._rules = state.rules.market
        self._snapshot = state.snapshot
        self._taken = taken(state, decided)
        self._promised = frozenset(one.job_id for one in decided.reservations if one.at < NEVER)
        self._coming = bought(state.snapshot)
        self._room = self._rules.machines - sum(machine.live for machine in state.snapshot.machines.values())
        self._helped = set(self._coming)
        self.quiet: dict[str, float] = {}

    def over(self, jobs: Sequence[Job]) -> tuple[Grow, ...]:
        found = [one for job in jobs if (one := self._completed(job)) is not None]
        waiting = [job for job in jobs if job.id not in self._helped and self._urgent(job)]
        while waiting and len(found) < BOUGHT:
            starts = self._starts(waiting)
            for number, job in enumerate(waiting):
                compared = self._compared(job, starts[job.id])
                if compared.choice is not None:
                    found.append(self._buy(job, compared))
                    waiting = waiting[number + 1 :]
                    break
            else:
                break
        return tuple(found)

    def _urgent(self, job: Job) -> bool:
        """Whether it would be bought for if nobody knew when it starts here: who is not then is not in any case."""
        tag = f"{job.id}.{len(job.attempts) + 1}"
        until = self._state.quiet.get(tag, 0.0)
        if until <= self._now:
            worst = self._compared(job, NEVER)
            if worst.choice is not None:
                return True
            until = worst.again_at
        if until < NEVER:
            self.quiet[tag] = until
        return False

    def _starts(self, jobs: Sequence[Job]) -> Mapping[JobId, float]:
        """Those that were helped are out of the queue."""
        pending = self._snapshot.pending.mutate()
        for job_id in self._helped:
            pending.pop(job_id, None)
        asked = {job.id: self._useful_until(job) for job in jobs}
        left = replace(self._snapshot, pending=pending.finish(), changes=())
        return starts_of(left, self._now, asked, self._state.rules, FORESEEN)

    def _useful_until(self, job: Job) -> float:
        """A start after this moment is too late for the deadline, however late it is."""
        if not job.spec.burst.deadline_s:
            return NEVER
        return job.submitted_at + job.spec.burst.deadline_s - length_s(job.spec, job.owner, self._state.history)

    def _compared(self, job: Job, start_at: float) -> Comparison:
        rules = replace(self._rules, machines=self._room)
        beside = could_join(self._state, job, self._taken, self._now)
        return compared(self._state, job, Here(start_at, job.id in self._promised, beside), rules, self._now)

    def _buy(self, job: Job, compared: Comparison) -> Grow:
        chosen = compared.choice
        assert chosen is not None
        self._helped.add(job.id)
        if chosen.beside:
            self._taken = {**self._taken, **dict.fromkeys(chosen.beside, job.id)}
        self._room -= chosen.count
        self._rules = replace(self._rules, left=spent(self._rules.left, job, chosen.worst_usd))
        return self._wish(job, chosen, chosen.count, compared.sentence, chosen.beside)

    def _completed(self, job: Job) -> Grow | None:
        """What a gang still lacks of whose machines some are there: more of the same."""
        mine = self._coming.get(job.id, [])
        beside = kept_beside(self._snapshot, job, mine)
        lacking = job.spec.min_nodes - len(beside) - len(mine)
        if not mine or not 0 < lacking <= self._room:
            return None
        first = mine[0]
        same = replace(self._rules, offers=(first.offer,), machines=self._room)
        again = compared(self._state, job, Here(), same, self._now, lacking)
        chosen = next((row.quote for row in again.rows if not row.but and row.quote.market is first.market), None)
        if chosen is None:
            return None
        self._room -= lacking
        self._rules = replace(self._rules, left=spent(self._rules.left, job, chosen.worst_usd))
        names = f"{len(mine)} of its {len(mine) + lacking} machines are there or on their way"
        return self._wish(job, chosen, lacking, names, beside)

    def _wish(self, job: Job, chosen: Quote, count: int, sentence: str, beside: tuple[NodeId, ...]) -> Grow:
        price = chosen.offer.egress_usd_per_gb
        home_bytes = int(chosen.egress_usd / price * 1e9 / chosen.count) if price else 0
        return Grow(job.id, chosen.offer, chosen.market, count, sentence, beside, home_bytes)


Taken: TypeAlias = Mapping[NodeId, JobId]
"""Nodes here that are free, and for whom."""


def taken(state: State, decided: Plan) -> Taken:
    """By who starts in this plan, by reservations, and by who waits for machines that are to join them."""
    found = {node: start.job_id for start in decided.starts for node in start.allocation.nodes}
    found.update({node: one.job_id for one in decided.reservations for node in one.nodes})
    for job_id, machines in bought(state.snapshot).items() if state.snapshot.machines else ():
        found.update(dict.fromkeys(kept_beside(state.snapshot, state.snapshot.jobs[job_id], machines), job_id))
    return found


def could_join(state: State, job: Job, others: Taken, now: float) -> tuple[NodeId, ...]:
    """Nodes here that would make up one gang with machines, if the job consents to that."""
    if not consents(state.snapshot, job):
        return ()
    kept = frozenset(node for node, job_id in others.items() if job_id != job.id)
    request = request_of(job.spec, job.owner, unswept(job) if job.attempts else (), job.most_nodes)
    found = free_beside(Board(state.fits, *state.free), request, apart_now(state.snapshot, now), kept)
    return tuple(fit.node.id for fit in found)


@dataclass(frozen=True, slots=True)
class Here:
    """What a job has here: when it would start (inf: nobody knows), whether a reservation holds that, and the free
    nodes that machines might join."""

    start_at: float = NEVER
    promised: bool = False
    beside: tuple[NodeId, ...] = ()


def compared(state: State, job: Job, here: Here, rules: MarketRules, now: float, nodes: int = 0) -> Comparison:
    """Here or there, for one job. ``nodes``: only so many of the gang are to be had there; 0: all."""
    request = request_of(job.spec, job.owner, (), job.most_nodes)
    errand = _errand(state, job, request, rules, nodes or job.spec.min_nodes)
    offers = _offers(state, job, request, rules, min(errand.nodes, job.spec.min_nodes - len(here.beside)))
    wish = Wish(
        errand=errand,
        burst=job.spec.burst,
        submitted_at=job.submitted_at,
        here_start=here.start_at,
        here_end=here.start_at + (errand.most_s or errand.run_s) if here.start_at < NEVER else NEVER,
        money_usd=money(job, rules.left),
        promised=here.promised,
        racing=_racing(state, job),
        watched=watched(offers, rules),
        stretch=stretch_of(state.snapshot, job, here.beside, offers) if here.beside else None,
    )
    return compare(wish, offers if errand.nodes <= rules.machines else (), rules, now)


def _errand(state: State, job: Job, request: Request, rules: MarketRules, nodes: int) -> Errand:
    """By earlier runs as to money, and by the limit as to a deadline."""
    most_s = length_s(job.spec, job.owner, state.history) if job.spec.burst.deadline_s else 0.0
    run_s = expected_s(job.spec, job.owner, state.history)
    return replace(errand_of(job, run_s, speed_here(state, request, rules), rules, most_s), nodes=nodes)


def _offers(state: State, job: Job, request: Request, rules: MarketRules, fewest: int) -> tuple[Offer, ...]:
    """Those whose machines fit, ``fewest`` of which may be had, and that have not been rented for the job in vain."""
    if fewest > rules.machines:
        return ()
    vain = disappointed(state.snapshot, job)
    return tuple(one for one in rules.offers if (one.site, one.machine_type) not in vain and fits(request, one, rules))


def money(job: Job, left: Left) -> float:
    """The least of what its owner, its project, the month and the job itself may still spend."""
    most = min(job.spec.burst.budget_usd or UNLIMITED, left.job_usd)
    users = left.users.get(job.owner, UNLIMITED)
    projects = left.projects.get(job.spec.budget, UNLIMITED)
    return min(left.month_usd, users, projects, most - left.jobs.get(job.id, 0.0))


def spent(left: Left, job: Job, amount_usd: float) -> Left:
    def less(table: Mapping[str, float], name: str) -> Mapping[str, float]:
        return {**table, name: table[name] - amount_usd} if name in table else table

    jobs = {**left.jobs, job.id: left.jobs.get(job.id, 0.0) + amount_usd}
    month = left.month_usd - amount_usd
    return Left(month, less(left.users, job.owner), less(left.projects, job.spec.budget), left.job_usd, jobs)


def _racing(state: State, job: Job) -> bool:
    machines = state.snapshot.machines
    return any(node in machines for attempt in job.attempts for node in attempt.allocation.nodes)
