"""What happens in a replay, and what it makes of the snapshot: ends, failures, rented machines, plans and moves."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from typing import TypeAlias

from beowulf.model.cloud import MachineId, Offer
from beowulf.model.job import Attempt, Job, JobId, JobState, Result, split_tag
from beowulf.model.market import MarketRules
from beowulf.model.node import NodeId
from beowulf.model.renting import Caps
from beowulf.model.rules import Rules
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler import Grow, Memo, Plan, known, replan
from beowulf.sim import moving, renting, world
from beowulf.sim.cluster import kinds_of
from beowulf.sim.outcome import Failures, Move, Moving, Outcome, Ran
from beowulf.sim.trace import TraceJob

NEVER = float("inf")
Buyer: TypeAlias = Callable[[Snapshot, Plan, float], tuple[tuple[Grow, ...], float]]
"""(what to rent now, when to look again)"""

END, REPAIR, FAIL, LOOK, JOIN, RECLAIM, SPARE, RENEW, REPORT = range(9)
FIRST_REPORT_S = 30.0  # after a start, as the head first looks at what the ranks report


@dataclass(slots=True)
class Run:
    cluster: Snapshot
    rules: Rules
    failures: Failures
    audit: bool
    snapshot: Snapshot = field(init=False)
    memo: Memo | None = None
    heap: list[tuple[float, int, int, str]] = field(default_factory=list)  # (time, what, attempt or 0, job or node)
    jobs: dict[JobId, TraceJob] = field(default_factory=dict)
    promised: dict[JobId, float] = field(default_factory=dict)
    ran: list[Ran] = field(default_factory=list)
    busy: list[tuple[float, int, int]] = field(default_factory=list)
    in_use: int = 0
    plans: int = 0
    delayed: int = 0
    failed: int = 0
    moving: Moving = Moving()
    moves: list[Move] = field(default_factory=list)
    caps: Caps = Caps()
    buyer: Buyer | None = None
    due: bool = False  # whether something happened since the last plan that another plan may take up
    idle_since: dict[MachineId, float] = field(default_factory=dict)
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.snapshot = self.cluster
        self.chance = random.Random(self.failures.seed)

    def submit(self, number: int, arrivals: Sequence[TraceJob]) -> None:
        fresh = []
        for place, job in enumerate(arrivals, number):
            job_id = str(place)
            self.jobs[job_id] = job
            fresh.append(Job(job_id, place, job.spec, job.owner, 0, job.submitted_at))
        self.snapshot = world.submitted(self.snapshot, fresh)

    def go_on(self, now: float, number: int, arrivals: Sequence[TraceJob]) -> None:
        """Everything up to ``now``, and the plan that follows. ``number`` is the first arrival's."""
        self.happen(now)
        if arrivals:
            self.submit(number, arrivals)
        if self.snapshot.pending and (self.due or arrivals):
            self.plan(now)
        else:
            self.busy.append((now, self.in_use, len(self.snapshot.pending)))
        self.due = False
        self.move(now)
        self.watch(now)

    def outcome(self) -> Outcome:
        never = tuple(self.jobs[job_id] for job_id in sorted(self.snapshot.pending, key=int))
        threads = sum(len(node.usable_cpus) for node in self.cluster.nodes.values())
        rented = tuple(sorted(self.snapshot.machines.values(), key=lambda machine: machine.number))
        went = (tuple(self.ran), never, threads, self.plans, self.delayed, tuple(self.busy), self.failed, rented)
        return Outcome(*went, moves=tuple(self.moves))

    def happen(self, now: float) -> None:
        """Everything on the heap up to ``now``."""
        ends: list[tuple[Job, Result]] = []
        while self.heap and self.heap[0][0] <= now:
            _, what, attempt, name = heappop(self.heap)
            if what == END:
                job = self.snapshot.jobs[name]
                if len(job.attempts) == attempt and job.attempts[-1].ending is None:
                    ends.append((job, Result.COMPLETED))
                    self.due = True
            else:
                self.end(ends, now)
                self.due = self.due or what != RENEW
                ends = HAPPENINGS[what](self, name, now)
        self.end(ends, now)

    def look(self, name: str, now: float) -> list[tuple[Job, Result]]:
        return []

    def fail(self, node: NodeId, now: float) -> list[tuple[Job, Result]]:
        self.snapshot = world.powered(self.snapshot, node, False)
        self.failed += 1
        heappush(self.heap, (now + self.failures.repair_s, REPAIR, 0, node))
        return self.lost(node)

    def lost(self, node: NodeId) -> list[tuple[Job, Result]]:
        tags = sorted(self.snapshot.held.get(node, {}))
        return [(self.snapshot.jobs[tag.rpartition(".")[0]], Result.NODE_FAIL) for tag in tags]

    def repair(self, node: NodeId, now: float) -> list[tuple[Job, Result]]:
        self.snapshot = world.powered(self.snapshot, node, True)
        self.expect_failure(node, now)
        return []

    def join(self, machine: MachineId, now: float) -> list[tuple[Job, Result]]:
        self.snapshot = renting.joined(self.snapshot, machine, self.rules.market, now)
        life_s = renting.life_s(self.rules.market, self.snapshot.machines[machine], self.chance.expovariate)
        if life_s < NEVER:
            heappush(self.heap, (now + life_s, RECLAIM, 0, machine))
        return self.renew(machine, now)

    def renew(self, machine: MachineId, now: float) -> list[tuple[Job, Result]]:
        """A machine whose lease cannot be paid any more ends with what runs there."""
        if not self.snapshot.machines[machine].live:
            return []
        longer = renting.renewed(self.snapshot, machine, self.caps, now)
        if longer is None:
            self.due = True
            return self.reclaim(machine, now)
        self.snapshot = longer
        heappush(self.heap, (now + self.rules.market.lease_s / 2, RENEW, 0, machine))
        return []

    def reclaim(self, machine: MachineId, now: float) -> list[tuple[Job, Result]]:
        if self.snapshot.machines[machine].live:
            self.end(self.lost(machine), now)
            self.snapshot = renting.given_back(self.snapshot, machine, now)
        return []

    def spare(self, machine: MachineId, now: float) -> list[tuple[Job, Result]]:
        if self.idle_since.get(machine, NEVER) + self.rules.market.idle_s <= now:
            self.snapshot = renting.given_back(self.snapshot, machine, now)
            del self.idle_since[machine]
        return []

    def rent(self, wishes: Iterable[Grow], now: float) -> None:
        market = self.rules.market
        for wish in wishes:
            self.snapshot, made = renting.ordered(self.snapshot, wish, market, self.caps, now)
            for machine in made:
                heappush(self.heap, (now + renting.boot_s(market, machine), JOIN, 0, machine.id))

    def watch(self, now: float) -> None:
        """Which rented machines have nothing to do, and since when."""
        for machine in self.snapshot.machines.values():
            if not renting.idle(self.snapshot, machine.id):
                self.idle_since.pop(machine.id, None)
            elif machine.id not in self.idle_since:
                self.idle_since[machine.id] = now
                heappush(self.heap, (now + self.rules.market.idle_s, SPARE, 0, machine.id))

    def expect_failure(self, node: NodeId, now: float) -> None:
        if self.failures.per_node_hour:
            after = self.chance.expovariate(self.failures.per_node_hour / 3600.0)
            heappush(self.heap, (now + after, FAIL, 0, node))

    def end(self, ends: list[tuple[Job, Result]], now: float) -> None:
        if not ends:
            return
        for job, result in ends:
            attempt = job.attempts[-1]
            threads = sum(len(share.cpus) for share in attempt.allocation.shares)
            self.in_use -= threads
            if result is Result.COMPLETED:
                promised, offer = self.promised.get(job.id, NEVER), self.there(attempt)
                begun, tries = moving.begun(job)
                self.ran.append(Ran(self.jobs[job.id], begun, now, threads, promised, tries, offer))
                self.snapshot = renting.brought_home(self.snapshot, job, self.rules.market)
        self.snapshot = world.ended(self.snapshot, ends, now)

    def plan(self, now: float) -> Plan:
        rules = renting.priced(self.rules, self.snapshot, self.caps, now)
        rules = replace(rules, market=MarketRules()) if self.buyer else rules
        decided, self.memo = replan(self.snapshot, now, rules, self.memo)
        self.plans += 1
        for one in decided.reservations:
            self.promised.setdefault(one.job_id, one.at)
        if decided.starts:
            self.snapshot = world.started(self.snapshot, decided.starts, now, self.moving.cost_s)
            for start in decided.starts:
                self.expect_end(self.snapshot.jobs[start.job_id])
                self.in_use += sum(len(share.cpus) for share in start.allocation.shares)
        if self.audit:
            self.delayed += self.delays(decided, now)
        self.busy.append((now, self.in_use, len(self.snapshot.pending)))
        if decided.stops:
            self.end([(self.snapshot.jobs[stop.job_id], Result.PREEMPTED) for stop in decided.stops], now)
            return self.plan(now)
        grow, again_at = self.buyer(self.snapshot, decided, now) if self.buyer else (decided.grow, NEVER)
        self.rent(grow, now)
        if again_at < NEVER:
            heappush(self.heap, (again_at, LOOK, 0, ""))
        if decided.again_at < NEVER:
            heappush(self.heap, (decided.again_at, LOOK, 0, ""))
        return decided

    def there(self, attempt: Attempt) -> Offer | None:
        machine = self.snapshot.machines.get(attempt.allocation.nodes[0])
        return machine.offer if machine else None

    def expect_end(self, job: Job) -> None:
        """Of an attempt that starts now, and what else comes with time."""
        attempt, trace = job.attempts[-1], self.jobs[job.id]
        kinds = kinds_of(self.snapshot, attempt.allocation)
        begin, rate = attempt.started_at, trace.steps_per_s(kinds)
        run_s = trace.seconds_on(kinds) if trace.rates is None else moving.left_s(job, rate)
        heappush(self.heap, (begin + run_s, END, attempt.number, job.id))
        if moving.reports(trace) and rate and run_s > FIRST_REPORT_S:
            heappush(self.heap, (begin + FIRST_REPORT_S, REPORT, 0, job.tag))
            heappush(self.heap, (begin + moving.pause_s(job, self.moving), LOOK, 0, ""))

    def report(self, tag: str, now: float) -> list[tuple[Job, Result]]:
        """What the ranks of an attempt say of their pace."""
        job = self.snapshot.jobs[split_tag(tag)[0]]
        if job.tag == tag and job.state is JobState.RUNNING:
            rate = self.jobs[job.id].steps_per_s(kinds_of(self.snapshot, job.attempts[-1].allocation))
            self.snapshot = world.measured(self.snapshot, job, rate)
        return []

    def move(self, now: float) -> None:
        """As long as the scheduler would have a running job on faster devices, that job goes there."""
        while self.rules.moves:
            others = frozenset(one for one in self.snapshot.active if not moving.movable(self.jobs[one]))
            if len(others) == len(self.snapshot.active):
                return
            self.memo = known(self.memo, self.snapshot, self.rules)
            job = moving.wish(self.memo, now, self.moving, others)
            if job is None:
                return
            kept = moving.asked(job, now)
            self.end([(kept, Result.RESIZED)], now)
            self.plan(now)
            there = self.snapshot.jobs[job.id].attempts[-1].allocation
            rate = self.jobs[job.id].steps_per_s(kinds_of(self.snapshot, there))
            self.moves.append(moving.gained(kept, there, rate, now, self.moving.cost_s))

    def delays(self, decided: Plan, now: float) -> int:
        after = {one.job_id: one.at for one in replan(self.snapshot, now, self.rules, self.memo)[0].reservations}
        return sum(after.get(one.job_id, NEVER) > one.at + 1e-6 for one in decided.reservations if one.at < NEVER)

    def over(self) -> bool:
        """Nobody runs, nothing is rented, and nobody waits for anything that will come."""
        if self.snapshot.active or any(machine.live for machine in self.snapshot.machines.values()):
            return False
        return not self.snapshot.pending or not any(what in (REPAIR, LOOK) for _, what, _, _ in self.heap)


HAPPENINGS: dict[int, Callable[[Run, str, float], list[tuple[Job, Result]]]] = {
    REPAIR: Run.repair,
    FAIL: Run.fail,
    LOOK: Run.look,
    JOIN: Run.join,
    RECLAIM: Run.reclaim,
    SPARE: Run.spare,
    RENEW: Run.renew,
    REPORT: Run.report,
}
"""What else happens than ends of jobs; each gives the attempts that end by it."""
