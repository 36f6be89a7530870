"""Traces whose jobs ask for so many places that are all alike: SWF logs.

There, plan after plan comes to numbers: whose turn it is starts as soon as so many places are free, wherever they are.
The first who waits is promised the moment at which enough limits have run out, and who is behind starts where that
leaves it as it is. Several are promised a start only where each asks for one place: then nobody behind the first finds
any, and promises only foretell. A test compares such a replay with plan after plan, job by job.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush, heapreplace
from itertools import chain, islice

from beowulf.model.job import JobSpec, Resources
from beowulf.model.rules import Rules
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler.future import SOON_S
from beowulf.scheduler.policies import KEEP_ALL, policy_of
from beowulf.sim.in_line import InLine, Line, in_line
from beowulf.sim.outcome import Outcome, Ran
from beowulf.sim.trace import Trace, TraceJob

NEVER = float("inf")


def served(trace: Trace, cluster: Snapshot, rules: Rules) -> Outcome | None:
    """None where it takes plans to say how it goes."""
    there = places(trace, cluster, rules)
    if not there:
        return None
    each = trace.jobs[0].spec.resources.cpus
    threads = sum(len(node.usable_cpus) for node in cluster.nodes.values())
    waiting = in_line(trace.jobs, rules, threads)
    over = Serving(trace.jobs, there, waiting, policy_of(rules).depth).over()
    busy = tuple((at, taken * each, waiting) for at, taken, waiting in over.busy)
    ran = tuple(Ran(job, begin, end, each * job.spec.min_nodes, promised) for job, begin, end, promised in over.ran)
    return Outcome(ran, (), threads, over.plans, 0, busy)


def places(trace: Trace, cluster: Snapshot, rules: Rules) -> int:
    """How many nodes' parts the jobs of the trace can have at once; 0 where that is no simple matter."""
    policy, nodes = policy_of(rules), cluster.nodes.values()
    plain_rules = not (rules.quotas or rules.maintenance or rules.classes or rules.market.offers)
    if (policy.depth < 1 and policy.depth != KEEP_ALL) or not plain_rules:
        return 0
    if cluster.jobs or cluster.unreachable or not all(node.schedulable for node in nodes):
        return 0
    specs = {id(job.spec): job.spec for job in trace.jobs}.values()
    sizes = {_threads(spec) for spec in specs} | {0 for job in trace.jobs if job.rates is not None}
    if len(sizes) != 1 or 0 in sizes or len({spec.priority for spec in specs}) != 1:
        return 0
    (each,) = sizes
    parts = [len(node.usable_cpus) // each for node in nodes]
    widest = max(spec.min_nodes for spec in specs)
    # A gang takes one part of each of its nodes: only where a node is one part do numbers say whether it fits.
    alike = set(parts) == {1} and len({node.site for node in nodes}) == 1
    one_promise = policy.depth == KEEP_ALL or (policy.depth == 1 and policy.latest_first)
    return sum(parts) if widest == 1 or (alike and one_promise and widest <= sum(parts)) else 0


def _threads(spec: JobSpec) -> int:
    """Of each of its nodes, where the job asks for nothing else; 0 where it does."""
    plain = JobSpec(
        spec.name,
        spec.script,
        min_nodes=spec.min_nodes,
        max_nodes=spec.min_nodes,
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
    free: int  # places
    waiting: InLine
    depth: int  # so many who wait are promised a start; KEEP_ALL: nobody, and nobody overtakes
    ran: list[tuple[TraceJob, float, float, float]] = field(default_factory=list)
    busy: list[tuple[float, int, int]] = field(default_factory=list)  # (time, places taken, jobs that wait)
    plans: int = 0
    running: list[tuple[float, int]] = field(default_factory=list)  # (when it ends, which)
    limits: list[tuple[float, int]] = field(default_factory=list)  # (when it has to have ended, which), ascending
    started: dict[int, float] = field(default_factory=dict)  # of those that run
    promised: dict[int, float] = field(default_factory=dict)

    def over(self) -> Serving:
        jobs, places = self.jobs, self.free
        come = gone = 0  # so many have come, and so many have started
        while come < len(jobs) or self.running:
            arrival = jobs[come].submitted_at if come < len(jobs) else NEVER
            now = min(arrival, self.running[0][0] if self.running else NEVER)
            while self.running and self.running[0][0] <= now:
                self._end(*heappop(self.running))
            while come < len(jobs) and jobs[come].submitted_at <= now:
                self.waiting.join(come)
                come += 1
            if gone < come:
                self.plans += 1
                gone += self._plan(now)
            self.busy.append((now, places - self.free, come - gone))
        return self

    def _plan(self, now: float) -> int:
        """→ how many start. Whoever is behind the first that does not fit starts where it is out of its way."""
        before, shadow, spare = len(self.started), NEVER, 0
        turns = self.waiting.turns(now)
        for line, number in turns:
            late = now + line.length_s > shadow
            if line.width <= (min(spare, self.free) if late else self.free):
                self._start(self.waiting.take(line), now)
                spare -= line.width if late else 0
            elif shadow == NEVER:
                if self.depth > 1:
                    self._foretell(chain([(line, number)], turns), now)
                if self.depth != 1:
                    break
                shadow, spare = self._opening(line.width, now)
                self.promised.setdefault(number, shadow)
            if not self.free and shadow < NEVER:
                break
            self.waiting.most = self.free if shadow < NEVER else self.waiting.most
        return len(self.started) - before

    def _foretell(self, turns: Iterator[tuple[Line, int]], now: float) -> None:
        """No place is left, and each asks for one: they come one after the other as limits run out, theirs as well."""
        self.waiting.each = True
        openings = [max(end, now + SOON_S) for end, _ in self.limits[: self.depth]]
        for line, number in islice(turns, self.depth):
            self.promised.setdefault(number, openings[0])
            heapreplace(openings, openings[0] + line.length_s)

    def _opening(self, width: int, now: float) -> tuple[float, int]:
        """(when so many places are free at the latest, how many of those that are free now nobody needs then)"""
        there, at = self.free, now
        for end, number in self.limits:
            soon = max(end, now + SOON_S)
            if there >= width and soon > at:
                break
            there, at = there + self.jobs[number].spec.min_nodes, soon
        return at, there - width

    def _start(self, number: int, now: float) -> None:
        job = self.jobs[number]
        self.free -= job.spec.min_nodes
        self.started[number] = now
        heappush(self.running, (now + job.run_s, number))
        insort(self.limits, (self._limit(number), number))
        self.waiting.started(number, now)

    def _end(self, at: float, number: int) -> None:
        start, promised = self.started[number], self.promised.pop(number, NEVER)
        del self.limits[bisect_left(self.limits, (self._limit(number), number))]
        del self.started[number]
        self.free += self.jobs[number].spec.min_nodes
        self.waiting.ended(number, start, at)
        self.ran.append((self.jobs[number], start, at, promised))

    def _limit(self, number: int) -> float:
        spec = self.jobs[number].spec
        return self.started[number] + (spec.max_duration_s + spec.kill_grace_s)
