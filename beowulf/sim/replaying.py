"""A trace through the scheduler: time jumps from one happening to the next, and each is followed by a plan."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush

from beowulf.model.job import Job, JobId, Result
from beowulf.model.market import MarketRules
from beowulf.model.node import NodeId
from beowulf.model.rules import Rules
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler import POLICIES, Memo, Plan, Start, replan
from beowulf.sim import world
from beowulf.sim.cluster import kinds_of
from beowulf.sim.renting import Buyer, Rented
from beowulf.sim.trace import Trace, TraceJob

NEVER = float("inf")
END, REPAIR, FAIL, LOOK, READY, RELEASE = range(6)


@dataclass(frozen=True, slots=True)
class Failures:
    """Each node fails at this rate while it is up, and comes back after ``repair_s``. Its jobs are queued again."""

    per_node_hour: float = 0.0
    repair_s: float = 3600.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Ran:
    """One job as it went. ``promised_at``: when the plan at its submit said it would start at the latest; inf: not."""

    job: TraceJob
    started_at: float
    ended_at: float
    threads: int
    promised_at: float
    tries: int = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    ran: tuple[Ran, ...]
    never: tuple[TraceJob, ...]  # what no node of the cluster can run, or what waited for ever
    threads: int  # of the whole cluster
    plans: int
    delayed: int  # reservations that a lower start delayed; counted in an audit only
    busy: tuple[tuple[float, int, int], ...]  # (time, threads in use, jobs that wait) after each plan
    failures: int = 0
    cost_usd: float = 0.0  # of rented machines, what leaves them included
    egress_usd: float = 0.0
    rented_jobs: int = 0


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
    buyer: Buyer | None = None
    chance: random.Random = field(init=False)
    rented: Rented = field(init=False)
    planned_by: Rules = field(init=False)

    def __post_init__(self) -> None:
        self.rented = Rented(self.rules.market)
        self.planned_by = replace(self.rules, market=MarketRules()) if self.buyer else self.rules
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
            elif what in (FAIL, REPAIR):
                self.end(ends, now)
                ends = self.power(name, what == REPAIR, now)
            elif what == READY:
                self.snapshot = self.rented.ready(self.snapshot, name, now)
                self.come_back(RELEASE, [self.rented.unused(name, now)])
            elif what == RELEASE:
                self.end(ends, now)
                ends = []
                self.snapshot = self.rented.release(self.snapshot, name, now)
        self.end(ends, now)

    def come_back(self, what: int, those: Iterable[tuple[float, str]]) -> None:
        for at, name in those:
            heappush(self.heap, (at, what, 0, name))

    def power(self, node: NodeId, on: bool, now: float) -> list[tuple[Job, Result]]:
        self.snapshot = world.powered(self.snapshot, node, on)
        if on:
            self.expect_failure(node, now)
            return []
        self.failed += 1
        heappush(self.heap, (now + self.failures.repair_s, REPAIR, 0, node))
        tags = sorted(self.snapshot.held.get(node, {}))
        return [(self.snapshot.jobs[tag.rpartition(".")[0]], Result.NODE_FAIL) for tag in tags]

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
            self.come_back(RELEASE, self.rented.used(self.snapshot, job, now))
            if result is Result.COMPLETED:
                promised = self.promised.get(job.id, NEVER)
                trace = self.jobs[job.id]
                self.ran.append(Ran(trace, attempt.started_at, now, threads, promised, len(job.attempts)))
        self.snapshot = world.ended(self.snapshot, ends, now)

    def plan(self, now: float) -> Plan:
        decided, self.memo = replan(self.snapshot, now, self.planned_by, self.memo)
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
        for bought in grow:
            self.snapshot, coming = self.rented.buy(self.snapshot, bought, now)
            self.come_back(READY, coming)
        if again_at < NEVER:
            heappush(self.heap, (again_at, LOOK, 0, ""))
        if decided.again_at < NEVER:
            heappush(self.heap, (decided.again_at, LOOK, 0, ""))
        return decided

    def seconds(self, start: Start) -> float:
        job = self.jobs[start.job_id]
        return job.run_s if job.rates is None else job.seconds_on(kinds_of(self.snapshot, start.allocation))

    def delays(self, decided: Plan, now: float) -> int:
        after = {one.job_id: one.at for one in replan(self.snapshot, now, self.rules, self.memo)[0].reservations}
        return sum(after.get(one.job_id, NEVER) > one.at + 1e-6 for one in decided.reservations if one.at < NEVER)

    def over(self) -> bool:
        """Nobody runs, and nobody waits for anything that will come."""
        if self.snapshot.active:
            return False
        coming = any(what in (REPAIR, LOOK, READY) for _, what, _, _ in self.heap)
        return not (self.snapshot.pending and coming) and not any(one[1] == RELEASE for one in self.heap)


def replay(
    trace: Trace,
    cluster: Snapshot,
    rules: Rules,
    failures: Failures | None = None,
    *,
    audit: bool = False,
    buyer: Buyer | None = None,
) -> Outcome:
    """How ``trace`` goes on ``cluster``. With ``audit``, every reservation is looked at again after the starts.

    ``buyer`` decides what is rented in the planner's place.
    """
    run = _Run(cluster, rules, failures or Failures(), audit, buyer=buyer)
    for node in sorted(cluster.nodes):
        run.expect_failure(node, trace.jobs[0].submitted_at if trace.jobs else 0.0)
    for now, number, arrivals in _moments(trace, run):
        run.happen(now)
        if arrivals:
            run.submit(number, arrivals)
        if run.snapshot.pending:
            run.plan(now)
        else:
            run.busy.append((now, run.in_use, 0))
    never = tuple(run.jobs[job_id] for job_id in sorted(run.snapshot.pending, key=int))
    threads = sum(len(node.usable_cpus) for node in cluster.nodes.values())
    return Outcome(
        tuple(run.ran), never, threads, run.plans, run.delayed, tuple(run.busy), run.failed,
        run.rented.cost_usd + run.rented.egress_usd, run.rented.egress_usd, run.rented.jobs,
    )  # fmt: skip


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
