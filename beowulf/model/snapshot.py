"""All the cluster's state as one value. Maps are persistent (HAMT): a new snapshot shares what did not change."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from immutables import Map

from beowulf.model.allocation import Share
from beowulf.model.cloud import Machine, MachineId
from beowulf.model.job import Attempt, Job, JobId, JobState, Result
from beowulf.model.node import Node, NodeId

REMEMBERED = 512
LEDGER_S = 45 * 86400.0  # machines that are gone count against a month's money: so long they are kept in memory


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """One step from a snapshot to the next: which jobs and nodes are other values now. It is known by identity."""

    jobs: tuple[JobId, ...] = ()
    nodes: tuple[NodeId, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """``held`` says what each node's threads, GPUs and memory are taken by: ``{node: {"17.1": Share}}``.

    An entry stays until the node was swept, also when the attempt has long ended elsewhere.
    """

    jobs: Map[JobId, Job] = Map()
    nodes: Map[NodeId, Node] = Map()
    held: Map[NodeId, Map[str, Share]] = Map()
    pending: Map[JobId, None] = Map()  # waiting for a placement
    active: Map[JobId, None] = Map()  # CONFIGURING, RUNNING or COMPLETING
    keys: Map[str, tuple[JobId, str]] = Map()  # idempotency key → (job, digest of the request)
    unreachable: Map[tuple[NodeId, NodeId], float] = Map()  # (a, b) → until
    next_number: int = 1
    generations: int = 0  # nodes added so far
    machines: Map[MachineId, Machine] = Map()  # rented ones; those that are gone for as long as money goes by them
    machines_made: int = 0  # the number of the newest launch attempt
    changes: tuple[Change, ...] = field(default=(), compare=False, repr=False)  # the last few, oldest first

    def job(self, job_id: JobId) -> Job | None:
        return self.jobs.get(job_id)

    def queue(self) -> list[Job]:
        """Pending jobs, first come first served within a priority, those that resume before the others."""
        waiting = (self.jobs[job_id] for job_id in self.pending)
        return sorted(waiting, key=queue_order)


def noted(snapshot: Snapshot, change: Change) -> Snapshot:
    """``snapshot`` is what ``change`` made."""
    return replace(snapshot, changes=remembered(snapshot, change))


def remembered(snapshot: Snapshot, change: Change) -> tuple[Change, ...]:
    """Its changes and this one; the oldest are forgotten when there are many."""
    kept = snapshot.changes if len(snapshot.changes) < REMEMBERED else snapshot.changes[REMEMBERED // 2 :]
    return (*kept, change)


def changed_since(earlier: Snapshot, later: Snapshot) -> tuple[list[JobId], list[NodeId]] | None:
    """Jobs and nodes that may differ; None where ``later`` is not known to come from ``earlier``, or from too far."""
    last = earlier.changes[-1] if earlier.changes else None
    jobs: dict[JobId, None] = {}
    nodes: dict[NodeId, None] = {}
    for change in reversed(later.changes):
        if change is last:
            return list(jobs), list(nodes)
        jobs.update(dict.fromkeys(change.jobs))
        nodes.update(dict.fromkeys(change.nodes))
    return None


def queue_order(job: Job) -> tuple[int, bool, float, int, int]:
    return (-job.spec.priority, not job.resuming, job.submitted_at, job.number, job.array_index or 0)


def job_order(job: Job) -> tuple[int, int]:
    return (job.number, job.array_index or 0)


def tasks_of(snapshot: Snapshot, job_id: str) -> list[Job]:
    """In the order of their indexes; empty unless ``job_id`` is an array's."""
    if not re.fullmatch("[1-9][0-9]{0,17}", job_id):
        return []
    number = int(job_id)
    tasks = [job for job in snapshot.jobs.values() if job.number == number and job.array_index is not None]
    return sorted(tasks, key=job_order)


def jobs_named(snapshot: Snapshot, job_id: str) -> list[Job]:
    """The job itself, or all tasks of an array."""
    job = snapshot.jobs.get(job_id)
    return [job] if job is not None else tasks_of(snapshot, job_id)


def restore(
    jobs: Iterable[Job],
    nodes: Iterable[Node],
    keys: Iterable[tuple[str, JobId, str]],
    machines: Iterable[Machine] = (),
) -> Snapshot:
    """The snapshot that `apply` had built, from the values the store kept; every index is derived again."""
    all_jobs = {job.id: job for job in jobs}
    all_nodes = {node.id: node for node in nodes}
    all_machines = {machine.id: machine for machine in machines}
    held: dict[NodeId, dict[str, Share]] = {}
    for job in all_jobs.values():
        for tag, share in held_shares(job):
            held.setdefault(share.node, {})[tag] = share
    return Snapshot(
        jobs=Map(all_jobs),
        nodes=Map(all_nodes),
        held=Map({node: Map(shares) for node, shares in held.items()}),
        pending=Map({job.id: None for job in all_jobs.values() if job.state is JobState.PENDING}),
        active=Map({job.id: None for job in all_jobs.values() if job.state in ACTIVE}),
        keys=Map({key: (job_id, digest) for key, job_id, digest in keys}),
        next_number=max((job.number for job in all_jobs.values()), default=0) + 1,
        generations=max((node.generation for node in all_nodes.values()), default=0),
        machines=Map(all_machines),
        machines_made=max((machine.number for machine in all_machines.values()), default=0),
    )


def without_old(snapshot: Snapshot, keep: int) -> Snapshot:
    """Without all but the last ``keep`` ended jobs; those a waiting job depends on, or a node still holds, stay.

    They are in the store still: only the memory of a head that runs for months is bounded by this.
    """
    needed = {
        need.job_id.split("_")[0] for job_id in snapshot.pending for need in snapshot.jobs[job_id].spec.dependencies
    }
    held = {tag.rpartition(".")[0] for shares in snapshot.held.values() for tag in shares}
    ended = [
        job for job in snapshot.jobs.values() if not job.live and str(job.number) not in needed and job.id not in held
    ]
    if len(ended) <= keep:
        return snapshot
    jobs = snapshot.jobs.mutate()
    for job in sorted(ended, key=lambda job: job.ended_at)[: len(ended) - keep]:
        del jobs[job.id]
    kept = jobs.finish()
    return replace(snapshot, jobs=kept, machines=_without_old_machines(snapshot, kept), changes=())


def _without_old_machines(snapshot: Snapshot, jobs: Map[JobId, Job]) -> Map[MachineId, Machine]:
    newest = max((machine.gone_at for machine in snapshot.machines.values()), default=0.0)
    return Map(
        {
            name: machine
            for name, machine in snapshot.machines.items()
            if machine.live or machine.gone_at >= newest - LEDGER_S or _open(jobs.get(machine.job_id))
        }
    )


def _open(job: Job | None) -> bool:
    return job is not None and job.live


ACTIVE = frozenset({JobState.CONFIGURING, JobState.RUNNING, JobState.COMPLETING})


def held_shares(job: Job) -> list[tuple[str, Share]]:
    """``("17.1", share)`` for every share of every attempt whose node was not swept yet, or waits for the next one."""
    return [
        (f"{job.id}.{attempt.number}", share)
        for attempt in job.attempts
        for share in attempt.allocation.shares
        if share.node in attempt.shares
        and (attempt.shares[share.node] != "CLEARED" or keeps_cleared_nodes(job, attempt))
    ]


def keeps_cleared_nodes(job: Job, attempt: Attempt) -> bool:
    """Between two attempts of a job that goes on from its checkpoint nobody else gets its nodes."""
    may_go_on = attempt.ending in (None, Result.RESIZED, Result.NODE_FAIL, Result.FAILED) and not job.cancelled_by
    return may_go_on and not attempt.ended_at and job.spec.elastic
