"""What people ask of a replay: waits, slowdowns, use, and how evenly users were served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from beowulf.burst import ledger
from beowulf.sim.outcome import Outcome, Ran

SHORT_S = 10.0  # shorter jobs count as this long, so that a second's wait of a second's job is no catastrophe


@dataclass(frozen=True, slots=True)
class Measures:
    """Times in seconds. ``fairness``: Jain's index of the users' mean slowdowns, 1 when all are equal."""

    jobs: int
    never: int
    wait_mean_s: float
    wait_median_s: float
    wait_p99_s: float
    slowdown_mean: float  # bounded: max(1, (wait + run) / max(run, 10 s)), Feitelson et al. 1997
    slowdown_p99: float
    completion_mean_s: float
    completion_p99_s: float
    utilisation: float
    makespan_s: float
    fairness: float
    start_error_median_s: float  # of the first start that was promised, where one was
    requeued: int
    moves: int  # to faster devices
    moves_gain_s: float  # by all of them together: how much sooner those jobs were done
    delayed: int
    plans: int
    rented: int  # machines
    cost_usd: float  # the way home included


def measured(outcome: Outcome) -> Measures:
    ran = outcome.ran
    waits = sorted(max(0.0, one.started_at - one.job.submitted_at) for one in ran)
    slowdowns = sorted(map(slowdown, ran))
    completions = sorted(one.ended_at - one.job.submitted_at for one in ran)
    first = min((one.job.submitted_at for one in ran), default=0.0)
    makespan = max((one.ended_at for one in ran), default=first) - first
    errors = sorted(abs(one.started_at - one.promised_at) for one in ran if one.promised_at < float("inf"))
    return Measures(
        jobs=len(ran),
        never=len(outcome.never),
        wait_mean_s=_mean(waits),
        wait_median_s=_quantile(waits, 0.5),
        wait_p99_s=_quantile(waits, 0.99),
        slowdown_mean=_mean(slowdowns),
        slowdown_p99=_quantile(slowdowns, 0.99),
        completion_mean_s=_mean(completions),
        completion_p99_s=_quantile(completions, 0.99),
        utilisation=_utilisation(outcome, makespan),
        makespan_s=makespan,
        fairness=_jain(ran),
        start_error_median_s=_quantile(errors, 0.5),
        requeued=sum(one.tries - 1 for one in ran),
        moves=len(outcome.moves),
        moves_gain_s=sum(one.gain_s for one in outcome.moves),
        delayed=outcome.delayed,
        plans=outcome.plans,
        rented=len(outcome.machines),
        cost_usd=sum(machine.cost_usd + ledger.egress_usd(machine) for machine in outcome.machines),
    )


def _utilisation(outcome: Outcome, makespan: float) -> float:
    """Work at its fastest pace, as a part of all thread-seconds, those of rented machines included."""
    work = sum(one.threads * one.job.run_s for one in outcome.ran)
    rented = sum(
        one.offer.cpus * (one.gone_at - one.ready_at) for one in outcome.machines if one.ready_at and one.gone_at
    )
    return work / (outcome.threads * makespan + rented) if makespan else 0.0


def slowdown(one: Ran) -> float:
    wait = max(0.0, one.started_at - one.job.submitted_at)
    return max(1.0, (wait + one.job.run_s) / max(one.job.run_s, SHORT_S))


def _jain(ran: Sequence[Ran]) -> float:
    users: dict[str, list[float]] = {}
    for one in ran:
        users.setdefault(one.job.owner, []).append(slowdown(one))
    means = [_mean(values) for values in users.values()]
    squares = sum(value * value for value in means)
    return sum(means) ** 2 / (len(means) * squares) if squares else 1.0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _quantile(ascending: Sequence[float], part: float) -> float:
    return ascending[min(len(ascending) - 1, int(part * len(ascending)))] if ascending else 0.0
