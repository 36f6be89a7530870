"""Plans made beforehand for a trace, carried out in the same replay that bills our planner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from burst_ahead import foreseen
from burst_exact import exact
from burst_oracle import OfflinePlan, Task, planned
from burst_trace import IDLE_S, MB_PER_MIB, RICH, Setting, Tally, tally

from beowulf.model.cloud import Market, Offer
from beowulf.model.job import Burst, Resources
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler import Grow, Plan
from beowulf.sim import Outcome, Trace, TraceJob, replay

STEP_S = 60.0  # of an offline plan's starts
COARSE_S = 600.0  # of everything, where the optimum is exact


def tasks_of(trace: Trace, setting: Setting, *, by_limits: bool = False) -> list[Task]:
    """``by_limits``: nobody starts here so late that he would miss his deadline if he ran as long as he may. Whoever
    does not know how long jobs run, and is never late, has to keep to that."""
    return [_task(job, setting, by_limits) for job in trace.jobs]


def _task(job: TraceJob, setting: Setting, by_limits: bool) -> Task:
    spec, due_s = job.spec, job.submitted_at + job.spec.burst.deadline_s
    if job.submitted_at + setting.boot_s + job.run_s > due_s:
        raise ValueError(f"{spec.burst.deadline_s:g} s are too few to run for {job.run_s:g} s on a machine that boots")
    due_s -= max(0.0, spec.max_duration_s - job.run_s) if by_limits else 0.0
    away = [(rent_usd(job, one, setting.boot_s + IDLE_S), rent_usd(job, one, 0.0)) for one in able(job, setting)]
    rent, least = (min(column) for column in zip(*away, strict=True))
    return Task(job.submitted_at, job.run_s, due_s, spec.min_nodes, spec.resources.cpus, rent, least)


def able(job: TraceJob, setting: Setting) -> list[Offer]:
    """Jobs of these traces ask for threads, and nothing else."""
    return [one for one in setting.offers if one.cpus >= job.spec.resources.cpus]


def rent_usd(job: TraceJob, offer: Offer, unused_s: float) -> float:
    """Its machines as long as it runs and so much longer, and its way home."""
    there_s = max(offer.minimum_s if unused_s else 0.0, job.run_s + unused_s)
    egress_usd = job.spec.burst.results_mib * MB_PER_MIB / 1000.0 * offer.egress_usd_per_gb
    return job.spec.min_nodes * offer.hourly_usd * there_s / 3600.0 + egress_usd


def carried_out(trace: Trace, plan: OfflinePlan, cluster: Snapshot, setting: Setting, step_s: float) -> Outcome:
    """The plan in the same replay that bills our planner: whoever stays is handed in at his planned start for his
    planned nodes, and for whoever goes the cheapest machines are ordered when he comes."""
    given = sorted(_given(trace, plan, cluster, setting, step_s), key=lambda one: one[0].submitted_at)
    orders = {str(number): offer for number, (_, _, offer) in enumerate(given, 1) if offer is not None}

    def buy(snapshot: Snapshot, decided: Plan, now: float) -> tuple[tuple[Grow, ...], float]:
        helped = {machine.job_id for machine in snapshot.machines.values()}
        gone = helped | {start.job_id for start in decided.starts}
        waiting = [snapshot.jobs[one] for one in snapshot.pending if one in orders and one not in gone]
        wishes = [Grow(one.id, orders[one.id], Market.ON_DEMAND, one.spec.min_nodes, "as planned") for one in waiting]
        return tuple(wishes), float("inf")

    moved = Trace(tuple(job for job, _, _ in given), {})
    found = replay(moved, cluster, setting.rules(), caps=RICH, buyer=buy)
    first = {id(job): original for job, original, _ in given}
    return replace(found, ran=tuple(replace(one, job=first[id(one.job)]) for one in found.ran))


def _given(
    trace: Trace, plan: OfflinePlan, cluster: Snapshot, setting: Setting, step_s: float
) -> Iterator[tuple[TraceJob, TraceJob, Offer | None]]:
    """(job as it is handed in, job as it came, what is ordered for it)"""
    begin, names = trace.jobs[0].submitted_at, list(cluster.nodes)
    for number, job in enumerate(trace.jobs):
        place = plan.places.get(number)
        if place is None:
            offer = min(able(job, setting), key=lambda one: rent_usd(job, one, setting.boot_s + IDLE_S))
            yield replace(job, spec=replace(job.spec, site=offer.site)), job, offer
        else:
            hosts = tuple(names[node] for node in place.nodes)
            spec = replace(job.spec, nodelist=hosts, burst=Burst(), max_duration_s=max(job.run_s, 1.0))
            yield replace(job, submitted_at=begin + place.start * step_s, spec=spec), job, None


@dataclass(frozen=True)
class Offline:
    outcome: Outcome
    tally: Tally


def offline(trace: Trace, cluster: Snapshot, setting: Setting, rounds: int, *, by_limits: bool = False) -> Offline:
    """The cheapest plan that so many rounds of search found, and the replay's bill for it."""
    tasks, size = tasks_of(trace, setting, by_limits=by_limits), _size(cluster)
    return _billed(trace, planned(tasks, *size, STEP_S, rounds=rounds), cluster, setting)


def ahead(trace: Trace, cluster: Snapshot, setting: Setting, rounds: int, ahead_s: float) -> Offline:
    """Likewise by limits, with everybody told of only so long before he comes; so many rounds for each."""
    tasks, size = tasks_of(trace, setting, by_limits=True), _size(cluster)
    return _billed(trace, foreseen(tasks, *size, STEP_S, ahead_s=ahead_s, rounds=rounds), cluster, setting)


def _size(cluster: Snapshot) -> tuple[int, int]:
    return len(cluster.nodes), max(len(node.usable_cpus) for node in cluster.nodes.values())


def _billed(trace: Trace, plan: OfflinePlan, cluster: Snapshot, setting: Setting) -> Offline:
    outcome = carried_out(trace, plan, cluster, setting, STEP_S)
    return Offline(outcome, tally(outcome))


def coarse(trace: Trace, threads: int) -> Trace:
    """Whole nodes and whole steps of time, rounded up, so that an optimum can be proven."""

    def up(seconds: float) -> float:
        return max(1.0, -(-seconds // COARSE_S)) * COARSE_S

    begin = trace.jobs[0].submitted_at
    found = []
    for job in trace.jobs:
        spec = replace(
            job.spec, resources=Resources(cpus=threads), max_duration_s=up(job.spec.max_duration_s or job.run_s)
        )
        found.append(replace(job, submitted_at=up(job.submitted_at - begin), run_s=up(job.run_s), spec=spec))
    return Trace(tuple(found), trace.left_out)


@dataclass(frozen=True)
class Window:
    """Some jobs alone, in whole nodes and steps. ``least_usd``: nobody pays less; ``best``: a plan that is carried
    out; ``gap``: what the solver did not prove of it, as a part."""

    least_usd: float
    best: Tally
    gap: float


def window(trace: Trace, cluster: Snapshot, setting: Setting, most_s: float, *, by_limits: bool = False) -> Window:
    tasks = tasks_of(trace, setting, by_limits=by_limits)
    proven = exact(tasks, len(cluster.nodes), COARSE_S, most_s=most_s)
    outcome = carried_out(trace, proven.plan, cluster, setting, COARSE_S)
    return Window(proven.least_usd, tally(outcome), proven.gap)


def windows(trace: Trace, size: int, number: int) -> Sequence[Trace]:
    """Of runs of so many consecutive jobs, those that ask for the most in the shortest time."""
    parts = [trace.jobs[begin : begin + size] for begin in range(0, len(trace.jobs) - size + 1, size)]

    def load(jobs: Sequence[TraceJob]) -> float:
        work = sum(job.run_s * job.spec.min_nodes for job in jobs)
        return work / max(3600.0, jobs[-1].submitted_at - jobs[0].submitted_at)

    return [Trace(tuple(jobs), {}) for jobs in sorted(parts, key=load, reverse=True)[:number]]
