"""The snapshot as a replay moves it: many jobs at once, in the few steps that a scheduler can see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from immutables import Map

from beowulf.model.job import Attempt, Job, JobState, Result, ShareState
from beowulf.model.node import NodeId, NodeState
from beowulf.model.snapshot import Change, Snapshot, noted, remembered
from beowulf.scheduler import Start


def submitted(snapshot: Snapshot, jobs: Sequence[Job]) -> Snapshot:
    return replace(
        snapshot,
        jobs=snapshot.jobs.update({job.id: job for job in jobs}),
        pending=snapshot.pending.update({job.id: None for job in jobs}),
        changes=remembered(snapshot, Change(tuple(job.id for job in jobs))),
    )


def started(snapshot: Snapshot, starts: Sequence[Start], now: float, restart_s: float = 0.0) -> Snapshot:
    """``restart_s``: until a job that goes on from a checkpoint does its next step."""
    jobs, held = snapshot.jobs.mutate(), snapshot.held.mutate()
    pending, active = snapshot.pending.mutate(), snapshot.active.mutate()
    for start in starts:
        job = jobs[start.job_id]
        shares = dict.fromkeys(start.allocation.nodes, ShareState.RUNNING)
        number = len(job.attempts) + 1
        begin, step = (now + restart_s, job.checkpoint.step) if job.checkpoint else (now, 0)
        attempt = Attempt(number, start.allocation, now, shares, now, started_at=begin, from_step=step)
        jobs[job.id] = _moved(job, JobState.RUNNING, (*job.attempts, attempt))
        tag = f"{job.id}.{number}"
        for share in start.allocation.shares:
            held[share.node] = held.get(share.node, Map()).set(tag, share)
        del pending[job.id]
        active[job.id] = None
    return replace(
        snapshot,
        jobs=jobs.finish(),
        held=held.finish(),
        pending=pending.finish(),
        active=active.finish(),
        changes=remembered(snapshot, Change(tuple(start.job_id for start in starts))),
    )


def ended(snapshot: Snapshot, ends: Iterable[tuple[Job, Result]], now: float) -> Snapshot:
    """``PREEMPTED``, ``NODE_FAIL`` and ``RESIZED`` put the job back into the queue, the last to go on before others."""
    jobs, held = snapshot.jobs.mutate(), snapshot.held.mutate()
    pending, active = snapshot.pending.mutate(), snapshot.active.mutate()
    changed = []
    for job, result in ends:
        attempt, tag = job.attempts[-1], job.tag
        shares = dict.fromkeys(attempt.shares, ShareState.CLEARED)
        over = replace(attempt, shares=shares, ending=result, ended_at=now)
        again = result in (Result.PREEMPTED, Result.NODE_FAIL, Result.RESIZED)
        attempts = (*job.attempts[:-1], over)
        jobs[job.id] = _waiting(job, result, attempts) if again else _over(job, result, attempts, now)
        for share in attempt.allocation.shares:
            held[share.node] = held[share.node].delete(tag)
        del active[job.id]
        if again:
            pending[job.id] = None
        changed.append(job.id)
    return replace(
        snapshot,
        jobs=jobs.finish(),
        held=held.finish(),
        pending=pending.finish(),
        active=active.finish(),
        changes=remembered(snapshot, Change(tuple(changed))),
    )


def measured(snapshot: Snapshot, job: Job, steps_per_s: float) -> Snapshot:
    """The ranks of the job's attempt report this pace."""
    attempt = replace(job.attempts[-1], steps_per_s=steps_per_s)
    known = replace(job, attempts=(*job.attempts[:-1], attempt))
    return noted(replace(snapshot, jobs=snapshot.jobs.set(job.id, known)), Change((job.id,)))


def powered(snapshot: Snapshot, node: NodeId, on: bool) -> Snapshot:
    state = NodeState.UP if on else NodeState.DOWN
    value = replace(snapshot.nodes[node], state=state, reason="" if on else "failed in the simulation")
    return noted(replace(snapshot, nodes=snapshot.nodes.set(node, value)), Change(nodes=(node,)))


def _moved(job: Job, state: JobState, attempts: tuple[Attempt, ...]) -> Job:
    known = (job.id, job.number, job.spec, job.owner, job.uid, job.submitted_at)
    return Job(*known, None, state, attempts=attempts, checkpoint=job.checkpoint)


def _waiting(job: Job, result: Result, attempts: tuple[Attempt, ...]) -> Job:
    again = _moved(job, JobState.PENDING, attempts)
    size = len(attempts[-1].allocation.nodes)
    return replace(again, resuming=True, most_nodes=size) if result is Result.RESIZED else again


def _over(job: Job, result: Result, attempts: tuple[Attempt, ...], now: float) -> Job:
    known = (job.id, job.number, job.spec, job.owner, job.uid, job.submitted_at)
    return Job(*known, state=JobState.ENDED, result=result, attempts=attempts, ended_at=now)
