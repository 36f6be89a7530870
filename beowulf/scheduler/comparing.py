"""The comparison of here and there as people ask for it: for a job that waits, or one that is not handed in yet."""

from __future__ import annotations

from dataclasses import replace

from beowulf.model import event as ev
from beowulf.model.apply import apply
from beowulf.model.job import Job, JobId, JobSpec
from beowulf.model.node import LineSpeed
from beowulf.model.rules import Rules
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler.bargain import NEVER, Comparison
from beowulf.scheduler.bursting import FORESEEN, Here, compared, could_join, taken
from beowulf.scheduler.errand import errand_of
from beowulf.scheduler.estimates import expected_s
from beowulf.scheduler.foresight import starts_of
from beowulf.scheduler.imagined import speed_here
from beowulf.scheduler.owned import bought
from beowulf.scheduler.planning import decide
from beowulf.scheduler.request import request_of
from beowulf.scheduler.state import fresh
from beowulf.scheduler.stretching import errand_over, stretch_of
from beowulf.scheduler.suggestions import Suggestion
from beowulf.scheduler.wording import usd


def comparison(snapshot: Snapshot, now: float, job_id: JobId, rules: Rules) -> Comparison | None:
    """None where nothing is on offer, where the job does not wait, or where its machines are on their way."""
    if not rules.market.offers or job_id not in snapshot.pending or job_id in bought(snapshot):
        return None
    start_at = starts_of(snapshot, now, {job_id: NEVER}, rules, FORESEEN)[job_id]
    rented = sum(machine.live for machine in snapshot.machines.values())
    market = replace(rules.market, machines=rules.market.machines - rented)
    state = fresh(snapshot, rules)
    decided, job = decide(state, now), snapshot.jobs[job_id]
    promised = any(one.job_id == job_id and one.at < NEVER for one in decided.reservations)
    beside = could_join(state, job, taken(state, decided), now)
    return compared(state, job, Here(start_at, promised, beside), market, now)


def too_slow(snapshot: Snapshot, job: Job, line: LineSpeed, rules: Rules) -> str:
    """Whether the line that was measured between a gang's two sites is too slow for it, as the end of a sentence; "":
    it pays."""
    attempt = job.attempt
    assert attempt is not None
    names = attempt.allocation.nodes
    machine = next(snapshot.machines[name] for name in names if name in snapshot.machines)
    state, here = fresh(snapshot, rules), tuple(name for name in names if name not in snapshot.machines)
    request = request_of(job.spec, job.owner)
    run_s = expected_s(job.spec, job.owner, state.history)
    errand = errand_of(job, run_s, speed_here(state, request, rules.market), rules.market)
    measured = replace(stretch_of(snapshot, job, here, ()), lines={machine.offer.site: line})
    found = errand_over(replace(errand, nodes=len(names)), measured, machine.offer, rules.market)
    return found if isinstance(found, str) else ""


def comparison_of(snapshot: Snapshot, now: float, spec: JobSpec, owner: str, rules: Rules) -> Comparison | None:
    """As if the spec were handed in now."""
    number = snapshot.next_number
    after = apply(snapshot, ev.JobSubmitted(now, str(number), number, spec, owner, 0))
    return comparison(after, now, str(number), rules)


def rented_instead(snapshot: Snapshot, now: float, job_id: JobId, rules: Rules) -> tuple[Suggestion, ...]:
    """What a machine would cost the job if it were handed in anew to be rented one at once; empty where none would."""
    job = snapshot.jobs[job_id]
    if job.spec.burst.policy == "prefer":
        return ()
    eager = replace(job.spec, burst=replace(job.spec.burst, policy="prefer", deadline_s=0.0))
    found = comparison_of(snapshot, now, eager, job.owner, rules)
    if found is None or found.choice is None:
        return ()
    return (Suggestion(f"in the cloud for {usd(found.choice.cost_usd)} (--burst prefer)", eager),)
