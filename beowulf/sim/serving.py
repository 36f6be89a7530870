"""Traces of jobs that all ask for the same part of one node, under a policy that ranks nobody (serial SWF logs).

There, plan after plan comes to this: who came first starts as soon as there is a place, wherever that is, and the
first who waits is promised the moment at which the first of the limits runs out. A test compares such a replay with
plan after plan, job by job.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

from beowulf.model.job import JobSpec, Resources
from beowulf.model.rules import Rules
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler import POLICIES
from beowulf.scheduler.future import SOON_S
from beowulf.scheduler.policies import KEEP_ALL
from beowulf.sim.outcome import Outcome, Ran
from beowulf.sim.trace import Trace, TraceJob

NEVER = float("inf")


def served(trace: Trace, cluster: Snapshot, rules: Rules) -> Outcome | None:
    """None where it takes plans to say how it goes."""
    there = places(trace, cluster, rules)
    if not there:
        return None
    each = trace.jobs[0].spec.resources.cpus
    over = Serving(trace.jobs, there, POLICIES[rules.policy].depth == 1).over()
    busy = tuple((at, running * each, waiting) for at, running, waiting in over.busy)
    threads = sum(len(node.usable_cpus) for node in cluster.nodes.values())
    ran = tuple(Ran(job, begin, end, each, promised) for job, begin, end, promised in over.ran)
    return Outcome(ran, (), threads, over.plans, 0, busy)


def places(trace: Trace, cluster: Snapshot, rules: Rules) -> int:
    """How many jobs of the trace can run at once; 0 where that is no simple matter."""
    policy = POLICIES[rules.policy]
    plain_rules = not (rules.quotas or rules.maintenance or rules.classes or rules.market.offers)
    if policy.order is not None or policy.depth not in (1, KEEP_ALL) or rules.depth > 1 or not plain_rules:
        return 0
    if cluster.jobs or cluster.unreachable or not all(node.schedulable for node in cluster.nodes.values()):
        return 0
    sizes = {_threads(spec) for spec in {id(job.spec): job.spec for job in trace.jobs}.values()}
    sizes |= {0 for job in trace.jobs if job.rates is not None}
    if len(sizes) != 1 or 0 in sizes or len({job.spec.priority for job in trace.jobs}) != 1:
        return 0
    (each,) = sizes
    return sum(len(node.usable_cpus) // each for node in cluster.nodes.values())


def _threads(spec: JobSpec) -> int:
    """Of one node, where the job asks for nothing else; 0 where it does."""
    plain = JobSpec(
        spec.name,
        spec.script,
        max_duration_s=spec.max_duration_s,
        kill_grace_s=spec.kill_grace_s,
        queue=spec.queue,
        project=spec.project,
        priority=spec.priority,
        resources=Resources(cpus=spec.resources.cpus),
    )
    return spec.resources.cpus if spec == plain and spec.max_duration_s else 0


@dataclass(slots=True)
class Serving:
    """How it goes, while it is worked out: ``ran`` holds (job, started, ended, promised), in the order of the ends."""

    jobs: Sequence[TraceJob]
    free: int
    promises: bool  # whether the policy gives the first who waits a reservation
    ran: list[tuple[TraceJob, float, float, float]] = field(default_factory=list)
    busy: list[tuple[float, int, int]] = field(default_factory=list)  # (time, jobs that run, jobs that wait)
    plans: int = 0
    running: list[tuple[float, int]] = field(default_factory=list)  # (when it ends, which)
    limits: list[tuple[float, int]] = field(default_factory=list)  # (when it has to have ended, which)
    started: dict[int, float] = field(default_factory=dict)  # of those that run
    promised: dict[int, float] = field(default_factory=dict)

    def over(self) -> Serving:
        jobs, places = self.jobs, self.free
        come = head = 0  # so many have come, and so many have started
        while come < len(jobs) or self.running:
            arrival = jobs[come].submitted_at if come < len(jobs) else NEVER
            now = min(arrival, self.running[0][0] if self.running else NEVER)
            while self.running and self.running[0][0] <= now:
                self._end(*heappop(self.running))
            while come < len(jobs) and jobs[come].submitted_at <= now:
                come += 1
            if head < come:
                self.plans += 1
                while head < come and self.free:
                    self._start(head, now)
                    head += 1
                if head < come and self.promises and head not in self.promised:
                    self.promised[head] = max(self._first_limit(), now + SOON_S)
            self.busy.append((now, places - self.free, come - head))
        return self

    def _start(self, number: int, now: float) -> None:
        job = self.jobs[number]
        self.free -= 1
        self.started[number] = now
        heappush(self.running, (now + job.run_s, number))
        heappush(self.limits, (now + job.spec.max_duration_s + job.spec.kill_grace_s, number))

    def _end(self, at: float, number: int) -> None:
        self.free += 1
        promised = self.promised.pop(number, NEVER)
        self.ran.append((self.jobs[number], self.started.pop(number), at, promised))

    def _first_limit(self) -> float:
        while self.limits[0][1] not in self.started:
            heappop(self.limits)
        return self.limits[0][0]
