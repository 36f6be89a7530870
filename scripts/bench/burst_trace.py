"""A lab that is too small, a trace, one dated price file and a deadline for every job: what each way to burst pays."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from beowulf.model.cloud import Market, Offer
from beowulf.model.job import Burst, Job
from beowulf.model.market import DEFAULT, Line, MarketRules
from beowulf.model.renting import Caps
from beowulf.model.rules import Rules
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler import Grow, Plan, errand_of, quote_of
from beowulf.scheduler.estimates import History, expected_s
from beowulf.scheduler.imagined import fits
from beowulf.scheduler.request import request_of
from beowulf.sim import Outcome, Ran, Trace, TraceJob, replay

RICH = Caps(month_usd=1e9)
PATIENCE_S = 600.0  # of the way to burst that ours is held against
IDLE_S = 60.0  # a machine is given back after
MB_PER_MIB = 1.048576


@dataclass(frozen=True)
class Setting:
    """A job shall have ended ``factor`` of its limit and ``grace_s`` after its submit."""

    offers: tuple[Offer, ...]
    factor: float = 2.0
    grace_s: float = 3600.0
    results_gb: tuple[float, float] = (0.1, 100.0)
    boot_s: float = 180.0
    mb_per_s: float = 50.0
    now: float = 0.0  # of the trace's begin, in the year of the prices

    @property
    def rule(self) -> str:
        return f"{self.factor:g} times the limit and {self.grace_s / 3600:g} h after the submit"

    def rules(self, policy: str = "easy") -> Rules:
        market = MarketRules(
            offers=self.offers,
            boot_s={DEFAULT: self.boot_s},
            lines={DEFAULT: Line(self.mb_per_s, self.mb_per_s)},
            machines=10_000,
            idle_s=IDLE_S,
            stale_after_s=10 * 365 * 86400.0,
        )
        return Rules(policy, market=market)


@dataclass(frozen=True)
class Bed:
    """A lab, what comes to it, and what may be rented at the prices of ``day``."""

    cluster: Snapshot
    read: Trace
    setting: Setting
    day: str

    @property
    def threads(self) -> int:
        """Of each node."""
        return max(len(node.usable_cpus) for node in self.cluster.nodes.values())


def with_deadlines(trace: Trace, setting: Setting, seed: int) -> Trace:
    """Every job may burst, brings home its results (log-uniform, seeded), and has a deadline by the rule."""
    chance = random.Random(seed)
    low_gb, high_gb = setting.results_gb
    found = []
    first = trace.jobs[0].submitted_at
    for job in trace.jobs:
        limit = job.spec.max_duration_s or job.run_s
        results_mib = int(1000.0 * low_gb * (high_gb / low_gb) ** chance.random())
        deadline = setting.factor * limit + setting.grace_s
        burst = Burst("auto", use_spot=False, deadline_s=deadline, results_mib=results_mib)
        spec = replace(job.spec, burst=burst, max_duration_s=limit)
        found.append(replace(job, submitted_at=setting.now + job.submitted_at - first, spec=spec))
    return Trace(tuple(found), trace.left_out)


@dataclass(frozen=True)
class Tally:
    cost_usd: float
    egress_usd: float
    running_usd: float  # of the machines' price, the part while jobs ran: the rest is boots and idle time
    rented: int
    late: int
    jobs: int


def tally(outcome: Outcome) -> Tally:
    """Machines by the second from their order until they are given back, and the results of what ran there."""
    late = sum(map(_is_late, outcome.ran))
    away = [one for one in outcome.ran if one.offer]
    egress = sum(_gigabytes(one.job) * one.offer.egress_usd_per_gb for one in away if one.offer)
    machines = sum(one.cost_usd for one in outcome.machines)
    running = sum(_running_usd(one, one.offer) for one in away if one.offer)
    return Tally(machines + egress, egress, running, len(away), late + len(outcome.never), len(outcome.ran))


def _is_late(one: Ran) -> bool:
    return one.ended_at > one.job.submitted_at + one.job.spec.burst.deadline_s + 1.0


def _running_usd(one: Ran, offer: Offer) -> float:
    return one.job.spec.min_nodes * offer.hourly_usd * (one.ended_at - one.started_at) / 3600.0


def _gigabytes(job: TraceJob) -> float:
    return job.spec.burst.results_mib * MB_PER_MIB / 1000.0


def ours(trace: Trace, cluster: Snapshot, setting: Setting) -> Outcome:
    return replay(trace, cluster, setting.rules(), caps=RICH)


def impatient(trace: Trace, cluster: Snapshot, setting: Setting) -> Outcome:
    """Whatever waits for ten minutes is sent to the cheapest machines."""
    market = setting.rules().market

    def buy(snapshot: Snapshot, decided: Plan, now: float) -> tuple[tuple[Grow, ...], float]:
        helped = {machine.job_id for machine in snapshot.machines.values()}
        starting = {start.job_id for start in decided.starts}
        waiting = [snapshot.jobs[one] for one in snapshot.pending if one not in helped and one not in starting]
        due = [job for job in waiting if now - job.submitted_at >= PATIENCE_S]
        again = min((job.submitted_at + PATIENCE_S for job in waiting if job not in due), default=float("inf"))
        return tuple(one for job in due if (one := cheapest(job, market, now))), again

    return replay(trace, cluster, setting.rules(), caps=RICH, buyer=buy)


def cheapest(job: Job, market: MarketRules, now: float) -> Grow | None:
    request = request_of(job.spec, job.owner, (), 0)
    errand = errand_of(job, expected_s(job.spec, job.owner, History()), 0.0, market)
    able = [one for one in market.offers if fits(request, one, market)]
    quotes = [quote_of(errand, one, Market.ON_DEMAND, market, now) for one in able]
    best = min(quotes, key=lambda one: one.cost_usd, default=None)
    return Grow(job.id, best.offer, Market.ON_DEMAND, best.count, "it waits") if best else None


def blind(trace: Trace, cluster: Snapshot, setting: Setting) -> Outcome:
    """Our decisions by prices without egress, which has to be paid all the same."""
    real = {(one.site, one.machine_type): one for one in setting.offers}
    unseen = replace(setting, offers=tuple(replace(one, egress_usd_per_gb=0.0) for one in setting.offers)).rules()
    found = replay(trace, cluster, unseen, caps=RICH)
    billed = (
        replace(one, offer=real[one.offer.site, one.offer.machine_type]) if one.offer else one for one in found.ran
    )
    return replace(found, ran=tuple(billed))


def clairvoyant(trace: Trace, cluster: Snapshot, setting: Setting) -> Outcome:
    """Knows how long every job will run: nothing is rented out of fear of a limit. What comes later it does not know,
    so it is no lower bound."""
    knowing = tuple(_told(job) for job in trace.jobs)
    found = replay(Trace(knowing, trace.left_out), cluster, setting.rules(), caps=RICH)
    as_said = {id(told): job for told, job in zip(knowing, trace.jobs, strict=True)}
    return replace(found, ran=tuple(replace(one, job=as_said[id(one.job)]) for one in found.ran))


def _told(job: TraceJob) -> TraceJob:
    return replace(job, spec=replace(job.spec, max_duration_s=max(job.run_s, 1.0)))


ARMS: dict[str, Callable[[Trace, Snapshot, Setting], Outcome]] = {
    "ours": ours,
    "ten minutes": impatient,
    "no egress": blind,
    "run times": clairvoyant,
}
