"""The least that anybody could pay who knew every arrival and every run time: a bound, by mixed-integer programming.

Each job is rented for, or kept. Who is rented for costs its cheapest machines for as long as it really runs, and its
way home; no boot, no idle time, though every machine has them. Who is kept does its work in the lab between its submit
and its deadline; it may be cut into pieces and moved between nodes at any moment, which no job here can. Together those
that are kept never take more threads than the lab has. Whatever a real schedule does fits these rules: it pays no less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from beowulf.model.market import MarketRules
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler.errand import MB_PER_MIB
from beowulf.scheduler.imagined import fits
from beowulf.scheduler.request import request_of
from beowulf.sim import Trace, TraceJob

BINS = 1500  # of the trace's time: capacity holds on average within each
SOLVING_S = 120.0
GAP = 0.002


@dataclass(frozen=True)
class Bound:
    """No schedule costs less than ``usd``; ``rented``: how many the solver's best answer rents for."""

    usd: float
    rented: int


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
    rented = int(np.sum(found.x[: len(jobs)] > 0.5)) if found.x is not None else 0
    return Bound(max(0.0, float(found.mip_dual_bound)), rented)


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
