"""Which running jobs should go on with another number of nodes: more when some are idle, fewer when others wait.

A resize costs a job the time between two attempts, so it is left alone for a while after each; and a wish is only
uttered when the very plan that would follow it was made and gives the nodes to whom they are meant for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from beowulf.model import event as ev
from beowulf.model.apply import apply
from beowulf.model.job import Job, JobId, JobSpec, JobState, Result
from beowulf.model.node import Node, NodeId
from beowulf.model.snapshot import Snapshot, queue_order
from beowulf.scheduler.answers import PRIORITY, RESOURCES, Plan
from beowulf.scheduler.planning import plan
from beowulf.scheduler.wording import count, listed, natural

Planner: TypeAlias = Callable[[Snapshot, float], Plan]


@dataclass(frozen=True, slots=True)
class Resize:
    """``nodes`` is the number of nodes the job should go on with."""

    job_id: JobId
    nodes: int
    sentence: str


def resizes(
    snapshot: Snapshot,
    now: float,
    every_s: float,
    but: frozenset[JobId] = frozenset(),
    planner: Planner = plan,
) -> tuple[Resize, ...]:
    """At most one at a time, of no job of ``but``; the next one is seen once this one is through.

    Empty while anything can just start.
    """
    candidates = [job for job in _elastic(snapshot) if job.id not in but and _settled(job, now, every_s)]
    if not candidates:
        return ()
    planned = planner(snapshot, now)
    if planned.starts:
        return ()
    waiting = [snapshot.jobs[job_id] for job_id in snapshot.pending if _wants_nodes(planned, job_id)]
    trial = Trial(snapshot, now, planner)
    found = _giving_back(trial, candidates, waiting) if waiting else None
    return (found,) if found else tuple(_growing(trial, candidates, waiting))[:1]


def _elastic(snapshot: Snapshot) -> list[Job]:
    """Running jobs that can change their size, those served first before the others."""
    jobs = (snapshot.jobs[job_id] for job_id in snapshot.active)
    fit = (job for job in jobs if job.spec.elastic and job.state is JobState.RUNNING and not job.cancelled_by)
    return sorted(fit, key=queue_order)


def _settled(job: Job, now: float, every_s: float) -> bool:
    attempt = job.attempt
    assert attempt is not None
    return attempt.ending is None and now - attempt.started_at >= pause_s(job, every_s)


def pause_s(job: Job, every_s: float) -> float:
    """Twice as long after each resize that came to nothing, and longer and longer for a job with many attempts."""
    vain = sum(one.ending is Result.RESIZED and not after.started_at for one, after in pairwise(job.attempts))
    return float(every_s * (1 + len(job.attempts) // 10) * 2 ** min(vain, 10))


def _wants_nodes(planned: Plan, job_id: JobId) -> bool:
    reason = planned.waiting.get(job_id)
    return reason is not None and reason.code in (RESOURCES, PRIORITY) and job_id not in planned.impossible


@dataclass(frozen=True, slots=True)
class Trial:
    snapshot: Snapshot
    now: float
    planner: Planner

    def resized(self, job: Job, most: int) -> dict[JobId, tuple[NodeId, ...]]:
        """Who would start where if the job's attempt ended now, to go on with at most so many nodes."""
        attempt, after = job.attempt, self.snapshot
        assert attempt is not None
        for node in attempt.allocation.nodes:
            after = apply(after, ev.ShareCleared(self.now, job.id, attempt.number, node))
        after = apply(
            after,
            ev.AttemptEnded(
                self.now, job.id, attempt.number, Result.RESIZED, "", True, False, resuming=True, most_nodes=most
            ),
        )
        return {start.job_id: start.allocation.nodes for start in self.planner(after, self.now).starts}


def _growing(trial: Trial, candidates: list[Job], waiting: list[Job]) -> Iterator[Resize]:
    """Nodes that somebody else waits for are not taken."""
    specs = {id(job.spec): job.spec for job in waiting}.values()
    for job in candidates:
        mine = _nodes(job)
        nodes = trial.resized(job, job.spec.max_nodes).get(job.id, ()) if len(mine) < job.spec.max_nodes else ()
        fresh = sorted(set(nodes) - mine, key=natural)
        claimed = any(_could_use(spec, trial.snapshot.nodes[node]) for spec in specs for node in fresh)
        if len(nodes) > len(mine) and not claimed:
            yield Resize(job.id, len(nodes), f"{_size_change(len(mine), len(nodes))}: {listed(fresh)} can be had")


def _could_use(spec: JobSpec, node: Node) -> bool:
    """Perhaps; surely not where this says so."""
    named = (not spec.nodelist or node.id in spec.nodelist) and node.id not in spec.exclude
    grouped = not spec.group or spec.group in node.groups
    large = spec.resources.cpus <= len(node.usable_cpus) and spec.resources.gpus <= len(node.facts.gpus)
    return named and grouped and large


def _giving_back(trial: Trial, candidates: list[Job], waiting: list[Job]) -> Resize | None:
    """As few nodes as let somebody start that waits, from an elastic job of no higher priority."""
    for job in reversed(candidates):
        size = len(_nodes(job))
        equals = {other.id for other in waiting if other.spec.priority >= job.spec.priority}

        def starting(most: int, job: Job = job, equals: set[JobId] = equals) -> list[JobId]:
            started = trial.resized(job, most)
            return [other for other in started if other in equals] if job.id in started else []

        if size <= job.spec.min_nodes or not equals or not starting(job.spec.min_nodes):
            continue
        low, high = job.spec.min_nodes, size  # it helps to keep ``low``, not to keep ``high``
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if starting(middle) else (low, middle)
        kept = len(trial.resized(job, low)[job.id])
        return Resize(job.id, kept, f"{_size_change(size, kept)}: job {starting(low)[0]} waits for nodes")
    return None


def _nodes(job: Job) -> frozenset[NodeId]:
    return frozenset(job.attempt.allocation.nodes) if job.attempt else frozenset()


def _size_change(size: int, to: int) -> str:
    return f"resized from {count(size, 'node')} to {to}"
