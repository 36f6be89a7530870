"""What a job would take on rented machines: when it would end there, and what that would cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from beowulf.model.cloud import Market, Offer
from beowulf.model.job import Job, JobSpec
from beowulf.model.market import DEFAULT, OWN, Accelerator, Line, MarketRules, SpotSeen, place_of
from beowulf.model.node import NodeId

T = TypeVar("T")

MOST_HOURLY_USD = 1000.0  # no machine costs more: a price above is a mistake
CHECKPOINT_S = 600.0  # checkpoints come home about so often: half of it is lost with a machine, on average
MB_PER_MIB = 1.048576


@dataclass(frozen=True, slots=True)
class Errand:
    """What a job has to carry and to compute away from home."""

    nodes: int
    run_s: float  # as expected, on a device of ``speed``; what is left of it; inf: nobody knows
    most_s: float = 0.0  # by its limit, where a deadline asks for that; 0: as expected
    speed: float = 0.0  # as in `Accelerator.speed`; 0: not known, and taken to be that of what is rented
    up_mb: float = 0.0
    down_mb: float = 0.0
    done_s: float = 0.0  # of the same, what earlier attempts did and a checkpoint holds
    limited: bool = False  # ``most_s`` is a limit, at which it is ended
    resumes: bool = False  # it goes on from checkpoints when a machine is taken back
    shared_mb: float = 0.0  # what its ranks there tell those elsewhere, for the price of the way


@dataclass(frozen=True, slots=True)
class Quote:
    """One offer, bought now for the whole gang. ``cost_usd`` is what is expected; ``worst_usd`` is reserved before."""

    offer: Offer
    market: Market
    count: int
    start_at: float
    end_at: float
    cost_usd: float
    egress_usd: float
    worst_usd: float
    beside: tuple[NodeId, ...] = ()  # nodes of our own in the same gang


def errand_of(job: Job, run_s: float, speed: float, rules: MarketRules, most_s: float = 0.0) -> Errand:
    spec, checkpoint = job.spec, job.checkpoint
    resumed_mb = checkpoint.tree.size_bytes / 1e6 if checkpoint else 0.0
    done = done_s(job)
    return Errand(
        nodes=spec.min_nodes,
        run_s=max(0.0, run_s - done),
        most_s=max(0.0, most_s - done),
        speed=speed,
        done_s=done,
        up_mb=inputs_mb(spec, rules) + resumed_mb,
        down_mb=results_mb(spec, rules),
        limited=spec.max_duration_s > 0.0,
        resumes=spec.checkpoint is not None,
    )


def inputs_mb(spec: JobSpec, rules: MarketRules) -> float:
    """What has to be there before it can run."""
    trees = [spec.workdir, *(mount.tree for mount in spec.mounts)]
    installed_mb = rules.environment_mb if spec.environment.requirements else 0.0
    return sum(tree.size_bytes for tree in trees if tree) / 1e6 + installed_mb


def results_mb(spec: JobSpec, rules: MarketRules) -> float:
    """What the job brings home, as it says or as is usual."""
    return spec.burst.results_mib * MB_PER_MIB or (rules.results_mb if spec.outputs else 0.0)


def done_s(job: Job) -> float:
    """Seconds of running that the newest checkpoint holds; earlier attempts count as far as they were kept."""
    if job.checkpoint is None:
        return 0.0
    ran = 0.0
    for attempt in job.attempts[: job.checkpoint.attempt]:
        last = attempt.number == job.checkpoint.attempt
        end = min(attempt.ended_at or job.checkpoint.at, job.checkpoint.at) if last else attempt.ended_at
        ran += max(0.0, end - attempt.started_at) if attempt.started_at else 0.0
    return ran


def quote(errand: Errand, offer: Offer, market: Market, rules: MarketRules, now: float) -> Quote:
    """From the call until the last result is home, and the idle time that is paid before machines are given back."""
    line = of(rules.lines, offer.provider, Line())
    times = faster(errand, offer, rules)
    run_s = errand.run_s / times
    longer_s = max(0.0, errand.most_s - errand.run_s) / times if errand.most_s else 0.0
    ready_s = of(rules.boot_s, offer.provider, 180.0) + errand.up_mb / line.up_mb_per_s
    redo_s = redone_s(errand, run_s, ready_s, spot_life_s(offer, rules), market)
    used_s = ready_s + run_s + redo_s + errand.down_mb / line.down_mb_per_s
    billed_s = max(offer.minimum_s, used_s + rules.idle_s)
    rate = errand.nodes * offer.price(market) / 3600.0
    egress = offer.egress_usd_per_gb * (errand.down_mb + errand.shared_mb) / 1000.0
    # Never less than what is reserved when the machine is ordered, so that no order is refused for the money's sake.
    worst_s = max(billed_s + longer_s, rules.ready_timeout_s) + rules.lease_s + rules.overrun_s
    worst = rate * worst_s + egress
    return Quote(
        offer, market, errand.nodes, now + ready_s, now + used_s + longer_s, rate * billed_s + egress, egress, worst
    )


def faster(errand: Errand, offer: Offer, rules: MarketRules) -> float:
    """By how much a device of the offer goes before the errand's; 1 where nobody knows."""
    there = rules.accelerators.get(offer.accelerator, Accelerator()).speed
    return (there / errand.speed if errand.speed else 1.0) or 1.0


def watched(offers: Sequence[Offer], rules: MarketRules) -> tuple[float, float]:
    """Seconds that spot of these offers was watched in all, and that it was there."""
    seen = [rules.spot_seen.get(place, SpotSeen()) for place in sorted({place_of(offer) for offer in offers})]
    return sum(one.watched_s for one in seen), sum(one.there_s for one in seen)


UNKNOWN_LIFE_S = 4 * 3600.0


def spot_life_s(offer: Offer, rules: MarketRules) -> float:
    """Until a machine is taken back, on average: as if one had been so after the usual time, besides those seen."""
    usual_s = of(rules.spot_life_s, offer.provider, UNKNOWN_LIFE_S)
    seen = rules.spot_seen.get(place_of(offer), SpotSeen())
    return (usual_s + seen.up_s) / (1 + seen.reclaims)


def redone_s(errand: Errand, run_s: float, ready_s: float, life_s: float, market: Market) -> float:
    """Seconds that reclaims are expected to cost: each machine is taken back after ``life_s`` on average, at random.

    With checkpoints a reclaim costs new machines and half an interval. Without, a run of R has to come through whole:
    with rate λ that takes (1/λ + restart)·(e^(λR) - 1) in all (Daly, 2006, for a checkpoint interval of the whole run).
    """
    if market is not Market.SPOT or not math.isfinite(run_s):
        return 0.0
    rate = errand.nodes / life_s
    if errand.resumes:
        return rate * run_s * (ready_s + CHECKPOINT_S / 2)
    return (1.0 / rate + ready_s) * math.expm1(min(rate * run_s, 50.0)) - run_s


def of(table: Mapping[str, T], name: str, otherwise: T) -> T:
    return table.get(name, table.get(DEFAULT, otherwise))


def not_believed(offer: Offer, market: Market, rules: MarketRules, now: float) -> str:
    """Why this price is none to buy at; "" for one that may be believed."""
    price = offer.price(market)
    if offer.source == OWN:
        return "" if price == 0.0 else "costs money, and is said to be our own"
    if market is Market.SPOT and price == 0.0:
        return "is not sold as spot"
    if not 0.0 < price <= MOST_HOURLY_USD:  # NaN, too
        return f"has no price to believe: {price:g} an hour"
    if not 0.0 <= offer.egress_usd_per_gb < MOST_HOURLY_USD or not 0.0 <= offer.minimum_s <= 86400.0:
        return "has no egress price or minimum to believe"
    try:
        age_s = now - datetime.fromisoformat(offer.as_of).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return f"has a price of no known day: {offer.as_of or 'none'}"
    if not -86400.0 <= age_s <= rules.stale_after_s:
        return f"has a price of {offer.as_of}, older than {rules.stale_after_s / 86400.0:.0f} days"
    return ""
