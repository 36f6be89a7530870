"""A trace through the scheduler: time jumps from one happening to the next, and each is followed by a plan."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from typing import TypeAlias

from beowulf.model.cloud import MachineId, Offer
from beowulf.model.job import Attempt, Job, JobId, Result
from beowulf.model.market import MarketRules
from beowulf.model.node import NodeId
from beowulf.model.renting import Caps
from beowulf.model.rules import Rules
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler import PLACEMENTS, POLICIES, Grow, Memo, Plan, Start, replan
from beowulf.sim import renting, serving, world
from beowulf.sim.cluster import kinds_of
from beowulf.sim.outcome import Failures, Outcome, Ran
from beowulf.sim.trace import Trace, TraceJob

NEVER = float("inf")
Buyer: TypeAlias = Callable[[Snapshot, Plan, float], tuple[tuple[Grow, ...], float]]
"""(what to rent now, when to look again)"""

END, REPAIR, FAIL, LOOK, JOIN, RECLAIM, SPARE, RENEW = range(8)


@dataclass(slots=True)
class _Run:
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
                promised = self.promised.get(job.id, NEVER)
                trace = self.jobs[job.id]
                self.ran.append(
                    Ran(trace, attempt.started_at, now, threads, promised, len(job.attempts), self.there(attempt))
                )
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
            self.snapshot = world.started(self.snapshot, decided.starts, now)
            for start in decided.starts:
                number = len(self.snapshot.jobs[start.job_id].attempts)
                heappush(self.heap, (now + self.seconds(start), END, number, start.job_id))
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

    def seconds(self, start: Start) -> float:
        job = self.jobs[start.job_id]
        return job.run_s if job.rates is None else job.seconds_on(kinds_of(self.snapshot, start.allocation))

    def delays(self, decided: Plan, now: float) -> int:
        after = {one.job_id: one.at for one in replan(self.snapshot, now, self.rules, self.memo)[0].reservations}
        return sum(after.get(one.job_id, NEVER) > one.at + 1e-6 for one in decided.reservations if one.at < NEVER)

    def over(self) -> bool:
        """Nobody runs, nothing is rented, and nobody waits for anything that will come."""
        if self.snapshot.active or any(machine.live for machine in self.snapshot.machines.values()):
            return False
        return not self.snapshot.pending or not any(what in (REPAIR, LOOK) for _, what, _, _ in self.heap)


HAPPENINGS: dict[int, Callable[[_Run, str, float], list[tuple[Job, Result]]]] = {
    REPAIR: _Run.repair,
    FAIL: _Run.fail,
    LOOK: _Run.look,
    JOIN: _Run.join,
    RECLAIM: _Run.reclaim,
    SPARE: _Run.spare,
    RENEW: _Run.renew,
}
"""What else happens than ends of jobs; each gives the attempts that end by it."""


def replay(
    trace: Trace,
    cluster: Snapshot,
    rules: Rules,
    failures: Failures | None = None,
    caps: Caps | None = None,
    *,
    audit: bool = False,
    buyer: Buyer | None = None,
) -> Outcome:
    """How ``trace`` goes on ``cluster``. With ``audit``, every reservation is looked at again after the starts.

    Where the rules have offers, machines are rented within ``caps`` for jobs that may burst; ``buyer``, where one is
    given, decides that in the planner's place.
    """
    failures = failures or Failures()
    if not audit and not failures.per_node_hour and buyer is None:
        alike = serving.served(trace, cluster, rules)
        if alike is not None:
            return alike
    begin = trace.jobs[0].submitted_at if trace.jobs else 0.0
    rules = renting.of_the_day(rules, begin) if rules.market.offers else rules
    run = _Run(cluster, rules, failures, audit, caps=caps or Caps(), buyer=buyer)
    for node in sorted(cluster.nodes):
        run.expect_failure(node, begin)
    for now, number, arrivals in _moments(trace, run):
        run.happen(now)
        if arrivals:
            run.submit(number, arrivals)
        if run.snapshot.pending and (run.due or arrivals):
            run.plan(now)
        else:
            run.busy.append((now, run.in_use, len(run.snapshot.pending)))
        run.due = False
        run.watch(now)
    never = tuple(run.jobs[job_id] for job_id in sorted(run.snapshot.pending, key=int))
    threads = sum(len(node.usable_cpus) for node in cluster.nodes.values())
    rented = tuple(sorted(run.snapshot.machines.values(), key=lambda machine: machine.number))
    return Outcome(tuple(run.ran), never, threads, run.plans, run.delayed, tuple(run.busy), run.failed, rented)


def _moments(trace: Trace, run: _Run) -> Iterator[tuple[float, int, Sequence[TraceJob]]]:
    """(time, first number, who comes then): arrivals and what is on the heap, one moment after the other."""
    jobs, come = trace.jobs, 0
    while come < len(jobs) or (run.heap and not run.over()):
        arrival = jobs[come].submitted_at if come < len(jobs) else NEVER
        now = min(arrival, run.heap[0][0] if run.heap else NEVER)
        first = come
        while come < len(jobs) and jobs[come].submitted_at <= now:
            come += 1
        yield now, first + 1, jobs[first:come]


def policy_names() -> tuple[str, ...]:
    """Those of the table, also entries somebody added to it."""
    return tuple(POLICIES)


def placement_names() -> tuple[str, ...]:
    return tuple(PLACEMENTS)
