"""The least that anybody could pay who knew every arrival and every run time: between a bound and a schedule.

The bound, by mixed-integer programming: each job is rented for, or kept. Who is rented for costs its cheapest machines
for as long as it really runs, and its way home; no boot, no idle time, though every machine has them. Who is kept does
its work in the lab between its submit and its deadline; it may be cut into pieces and moved between nodes at any moment,
which no job here can. Together those that are kept never take more threads than the lab has. Whatever a real schedule
does fits these rules: it pays no less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import numpy as np
from burst_trace import RICH, Setting, Tally, cheapest, is_late, tally, told
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from beowulf.model.job import Job
from beowulf.model.market import MarketRules
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler import Grow, Plan
from beowulf.scheduler.bursting import fits
from beowulf.scheduler.errand import MB_PER_MIB
from beowulf.scheduler.request import request_of
from beowulf.sim import Trace, TraceJob, replay

Bought: TypeAlias = tuple[tuple[Grow, ...], float]

BINS = 1500  # of the trace's time: capacity holds on average within each
SOLVING_S = 120.0
GAP = 0.002


@dataclass(frozen=True)
class Bound:
    """No schedule costs less than ``usd``; ``rented``: whom the solver's best answer rents for, by their numbers."""

    usd: float
    rented: frozenset[int]


@dataclass(frozen=True)
class Piece:
    """Seconds of one job that may be done in one bin."""

    job: int
    bin: int
    most_s: float


def bound(trace: Trace, cluster: Snapshot, market: MarketRules) -> Bound:
    jobs = trace.jobs
    threads = sum(len(node.usable_cpus) for node in cluster.nodes.values())
    cost = np.array([rent_usd(job, market) for job in jobs])
    run_s = np.array([max(job.run_s, 1.0) for job in jobs])
    begin = min(job.submitted_at for job in jobs)
    width_s = (max(map(due, jobs)) - begin) / BINS
    pieces = [piece for number, job in enumerate(jobs) for piece in _pieces(number, job, begin, width_s)]
    columns = np.arange(len(jobs), len(jobs) + len(pieces))
    whose = np.array([piece.job for piece in pieces])
    # Each job's work is done here or rented: sum of its pieces + run · rented = run.
    work = csr_array(
        (
            np.concatenate([run_s, np.ones(len(pieces))]),
            (np.concatenate([np.arange(len(jobs)), whose]), np.concatenate([np.arange(len(jobs)), columns])),
        )
    )
    wide = np.array([processors(job) for job in jobs], dtype=float)
    lab = csr_array((wide[whose], ([piece.bin for piece in pieces], columns)), shape=(BINS, len(jobs) + len(pieces)))
    found = milp(
        np.concatenate([cost, np.zeros(len(pieces))]),
        integrality=np.concatenate([np.ones(len(jobs)), np.zeros(len(pieces))]),
        bounds=Bounds(0.0, np.concatenate([np.ones(len(jobs)), [piece.most_s for piece in pieces]])),
        constraints=[LinearConstraint(work, run_s, run_s), LinearConstraint(lab, -np.inf, threads * width_s)],
        options={"time_limit": SOLVING_S, "mip_rel_gap": GAP},
    )
    if found.mip_dual_bound is None:
        raise RuntimeError(f"no bound was found: {found.message}")
    rented = np.flatnonzero(found.x[: len(jobs)] > 0.5) if found.x is not None else []
    return Bound(float(found.mip_dual_bound), frozenset(map(int, rented)))


def foreseen(trace: Trace, cluster: Snapshot, setting: Setting, first: frozenset[int]) -> Tally:
    """A schedule of somebody who knew everything: ``first`` go away at their submit, the others stay, in the lab's plain
    order; who is late then goes, too, until nobody is. The optimum costs no more."""
    away = set(first)
    while True:
        numbered = enumerate(trace.jobs)
        jobs = tuple(_sent(job, setting) if number in away else told(job) for number, job in numbered)
        buyer = partial(_at_once, setting, {str(number + 1) for number in away})
        outcome = replay(Trace(jobs, trace.left_out), cluster, setting.rules(), caps=RICH, buyer=buyer)
        late = {id(one.job) for one in outcome.ran if is_late(one)} | {id(one) for one in outcome.never}
        more = {number for number, job in enumerate(jobs) if id(job) in late} - away
        if not more:
            return tally(outcome)
        away |= more


def _at_once(setting: Setting, sent: set[str], snapshot: Snapshot, decided: Plan, now: float) -> Bought:
    helped = {machine.job_id for machine in snapshot.machines.values()}
    waiting = [snapshot.jobs[one] for one in snapshot.pending if one in sent and one not in helped]
    return tuple(one for job in waiting if (one := cheapest(job, setting.rules().market, now))), float("inf")


def _sent(job: TraceJob, setting: Setting) -> TraceJob:
    """It runs at the site of its cheapest machines, and nowhere else."""
    as_job = Job("0", 0, told(job).spec, job.owner, 0, job.submitted_at)
    found = cheapest(as_job, setting.rules().market, setting.now)
    assert found is not None
    return replace(told(job), spec=replace(as_job.spec, site=found.offer.site))


def due(job: TraceJob) -> float:
    return job.submitted_at + job.spec.burst.deadline_s


def processors(job: TraceJob) -> int:
    return job.spec.min_nodes * job.spec.resources.cpus


def rent_usd(job: TraceJob, market: MarketRules) -> float:
    """On the cheapest machines that do, while it runs and no longer; and its way home."""
    request = request_of(job.spec, job.owner)
    gigabytes = job.spec.burst.results_mib * MB_PER_MIB / 1000.0
    each = [
        job.spec.min_nodes * one.hourly_usd * job.run_s / 3600.0 + gigabytes * one.egress_usd_per_gb
        for one in market.offers
        if fits(request, one, market)
    ]
    return min(each)


def _pieces(number: int, job: TraceJob, begin: float, width_s: float) -> Sequence[Piece]:
    first = int((job.submitted_at - begin) / width_s)
    last = min(BINS - 1, int((due(job) - begin) / width_s))
    found = []
    for place in range(first, last + 1):
        low, high = begin + place * width_s, begin + (place + 1) * width_s
        there_s = min(high, due(job)) - max(low, job.submitted_at)
        if there_s > 0.0:
            found.append(Piece(number, place, there_s))
    return found
