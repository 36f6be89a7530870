"""What keeps a job from starting: each circumstance is left in force alone, and the plan itself says whether it does.

No reason has code of its own: a circumstance is an entry that says how to lift it. What the job is told in the world
where everything else was lifted is the sentence about the one that was not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TypeAlias

from immutables import Map

from beowulf.model.job import Job, JobId, ShareState
from beowulf.model.node import NodeState, without_others
from beowulf.model.rules import Rules
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler.answers import DEPENDENCY_NEVER_SATISFIED, Reason, Refusal
from beowulf.scheduler.planning import plan

World: TypeAlias = tuple[Snapshot, Rules]
Lift: TypeAlias = Callable[[World, JobId], World]
Spent: TypeAlias = Callable[[], bool]
"""Whether the time for this answer is used up."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One circumstance that keeps the job waiting, all others lifted; or two that only do so together."""

    circumstance: str
    reason: Reason


def limits(world: World, now: float, job_id: JobId, spent: Spent) -> tuple[Limit, ...]:
    """Every circumstance that would keep the job waiting by itself."""
    found = _holding(world, now, job_id, spent, 1)
    everything = {limit.reason for limit in found}
    if len(everything) == 1 and len(found) == len(CIRCUMSTANCES):  # no circumstance: no machine here can run it
        return (Limit("the machines there are", found[0].reason),)
    return tuple(found)


def joint_limits(world: World, now: float, job_id: JobId, spent: Spent) -> tuple[Limit, ...]:
    """Every two circumstances that would together, of a job that no single one does."""
    return tuple(_holding(world, now, job_id, spent, 2))


def _holding(world: World, now: float, job_id: JobId, spent: Spent, number: int) -> list[Limit]:
    """So many circumstances left in force at a time."""
    found = []
    for names in combinations(CIRCUMSTANCES, number):
        if spent():
            break
        changed = world
        for other, lift in CIRCUMSTANCES.items():
            changed = lift(changed, job_id) if other not in names else changed
        reason = waits(changed, now, job_id)
        if reason is not None:
            found.append(Limit(" and ".join(names), reason))
    return found


def waits(world: World, now: float, job_id: JobId) -> Reason | None:
    """Why the job does not start in this world; None when it does."""
    snapshot, rules = world
    decided = plan(snapshot, now, rules)
    if any(start.job_id == job_id for start in decided.starts):
        return None
    died = dict(decided.dead).get(job_id)
    return Refusal(DEPENDENCY_NEVER_SATISFIED, died) if died else decided.waiting[job_id]


def _no_dependencies(world: World, job_id: JobId) -> World:
    snapshot, rules = world
    job = snapshot.jobs[job_id]
    free = replace(job, spec=replace(job.spec, dependencies=()))
    return replace(snapshot, jobs=snapshot.jobs.set(job_id, free), changes=()), rules


def _no_quotas(world: World, job_id: JobId) -> World:
    return world[0], replace(world[1], quotas=())


def _no_maintenance(world: World, job_id: JobId) -> World:
    return world[0], replace(world[1], maintenance=())


def _nobody_else_waits(world: World, job_id: JobId) -> World:
    return replace(world[0], pending=Map({job_id: None}), changes=()), world[1]


def _nothing_runs(world: World, job_id: JobId) -> World:
    """What runs has no room any more, but is active still: quotas count it, whatever room there is."""
    snapshot, rules = world
    jobs = {one: _swept(snapshot.jobs[one]) for one in snapshot.active}
    jobs[job_id] = replace(snapshot.jobs[job_id], attempts=())
    return replace(snapshot, jobs=snapshot.jobs.update(jobs), held=Map(), changes=()), rules


def _swept(job: Job) -> Job:
    last = job.attempts[-1]
    cleared = replace(last, shares=dict.fromkeys(last.shares, ShareState.CLEARED))
    return replace(job, attempts=(*job.attempts[:-1], cleared))


def _every_node_is_up(world: World, job_id: JobId) -> World:
    snapshot, rules = world
    up = {
        one.id: replace(one, state=NodeState.UP, drained=False)
        for one in snapshot.nodes.values()
        if one.root and not one.same_as
    }
    return replace(snapshot, nodes=snapshot.nodes.update(up), unreachable=Map(), changes=()), rules


def _nobody_else_works(world: World, job_id: JobId) -> World:
    snapshot, rules = world
    alone = {one.id: without_others(one) for one in snapshot.nodes.values() if one.others}
    return replace(snapshot, nodes=snapshot.nodes.update(alone), changes=()), rules


CIRCUMSTANCES: dict[str, Lift] = {
    "its dependencies": _no_dependencies,
    "quotas": _no_quotas,
    "maintenance": _no_maintenance,
    "nodes that are down, drained or apart": _every_node_is_up,
    "processes of others": _nobody_else_works,
    "what runs now": _nothing_runs,
    "those who wait": _nobody_else_waits,
}
