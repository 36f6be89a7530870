"""``apply(snapshot, event) -> snapshot``: the only place where state moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from immutables import Map

from beowulf.model import apply_machines, apply_nodes
from beowulf.model import event as ev
from beowulf.model.clock import ClockStepped, moved
from beowulf.model.errors import IllegalMove
from beowulf.model.job import Attempt, Checkpoint, Job, JobId, JobState, ShareState
from beowulf.model.snapshot import ACTIVE, Change, Snapshot, keeps_cleared_nodes, noted

# Who may happen when. An event of an attempt that is not the current one never gets here.
MOVES: Mapping[tuple[JobState, type[Any]], JobState] = {
    (JobState.PENDING, ev.StartPromised): JobState.PENDING,
    (JobState.PENDING, ev.JobPlaced): JobState.CONFIGURING,
    (JobState.PENDING, ev.JobEnded): JobState.ENDED,
    (JobState.CONFIGURING, ev.AttemptLaunched): JobState.CONFIGURING,
    (JobState.CONFIGURING, ev.ShareStarted): JobState.CONFIGURING,  # RUNNING once the last one is in
    (JobState.CONFIGURING, ev.AttemptEnding): JobState.COMPLETING,
    (JobState.RUNNING, ev.AttemptEnding): JobState.COMPLETING,
    (JobState.COMPLETING, ev.AttemptEnding): JobState.COMPLETING,
    (JobState.COMPLETING, ev.ShareStarted): JobState.COMPLETING,
    (JobState.RUNNING, ev.CheckpointKept): JobState.RUNNING,
    (JobState.COMPLETING, ev.CheckpointKept): JobState.COMPLETING,
    (JobState.RUNNING, ev.PaceMeasured): JobState.RUNNING,
    (JobState.COMPLETING, ev.PaceMeasured): JobState.COMPLETING,
    (JobState.RUNNING, ev.AttemptEnded): JobState.ENDED,  # it ended by itself and its nodes are clear
    (JobState.COMPLETING, ev.AttemptEnded): JobState.ENDED,  # or PENDING when requeued
}


def apply(snapshot: Snapshot, event: ev.Event) -> Snapshot:
    """The state after ``event``. Raises `IllegalMove` for a move the table does not have."""
    after = _STEPS[type(event)](snapshot, event)
    return after if after is snapshot else noted(after, _change(snapshot, event))


def _change(snapshot: Snapshot, event: ev.Event) -> Change:
    if isinstance(event, (ev.ControllerStarted, ClockStepped)):
        live = (*snapshot.pending, *snapshot.active) if isinstance(event, ClockStepped) else ()
        return Change(live, tuple(snapshot.nodes))
    if isinstance(event, ev.JobSubmitted) and event.array:
        return Change(tuple(f"{event.job_id}_{index}" for index in event.array))
    job_id, node = getattr(event, "job_id", None), getattr(event, "node", None)
    return Change((job_id,) if job_id else (), (node,) if node else ())


def _move(job: Job, event: Any) -> JobState:
    to = MOVES.get((job.state, type(event)))
    if to is None:
        story = ", ".join(f"attempt {a.number}: {a.ending or 'going'} {a.reason}" for a in job.attempts)
        raise IllegalMove(
            f"job {job.id} is {job.word}: {type(event).__name__} does not apply ({story or 'no attempt'})"
        )
    return to


def _put(snapshot: Snapshot, job: Job) -> Snapshot:
    """Store ``job`` and keep both indexes true."""
    pending = snapshot.pending
    active = snapshot.active
    if job.state is JobState.PENDING:
        pending = pending.set(job.id, None)
    elif job.id in pending:
        pending = pending.delete(job.id)
    if job.state in ACTIVE:
        active = active.set(job.id, None)
    elif job.id in active:
        active = active.delete(job.id)
    return replace(snapshot, jobs=snapshot.jobs.set(job.id, job), pending=pending, active=active)


def _current(snapshot: Snapshot, job_id: JobId, attempt: int) -> tuple[Job, Attempt] | None:
    """The job and its newest attempt if that is the one meant: anything older changes nothing (invariant I2)."""
    job = snapshot.jobs.get(job_id)
    newest = job.attempt if job else None
    if job is None or newest is None or newest.number != attempt or newest.ended_at:
        return None
    return job, newest


def _with_attempt(job: Job, attempt: Attempt, **changes: Any) -> Job:
    attempts = (*(a for a in job.attempts if a.number != attempt.number), attempt)
    return replace(job, attempts=tuple(sorted(attempts, key=lambda a: a.number)), **changes)


def _submitted(snapshot: Snapshot, event: ev.JobSubmitted) -> Snapshot:
    base = Job(event.job_id, event.number, event.spec, event.owner, event.uid, event.at)
    tasks = [replace(base, id=f"{event.job_id}_{index}", array_index=index) for index in event.array] or [base]
    keys = snapshot.keys.set(event.key, (event.job_id, event.key_digest)) if event.key else snapshot.keys
    return replace(
        snapshot,
        jobs=snapshot.jobs.update({job.id: job for job in tasks}),
        pending=snapshot.pending.update({job.id: None for job in tasks}),
        keys=keys,
        next_number=max(snapshot.next_number, event.number + 1),
    )


def _start_promised(snapshot: Snapshot, event: ev.StartPromised) -> Snapshot:
    job = snapshot.jobs[event.job_id]
    return _put(snapshot, replace(job, state=_move(job, event), promised_at=job.promised_at or event.start_at))


def _placed(snapshot: Snapshot, event: ev.JobPlaced) -> Snapshot:
    job = snapshot.jobs[event.job_id]
    if event.attempt != len(job.attempts) + 1:
        raise IllegalMove(f"job {job.id} has {len(job.attempts)} attempts: {event.attempt} cannot be the next")
    shares = {share.node: ShareState.PLACED for share in event.allocation.shares}
    kept = job.checkpoint
    attempt = Attempt(event.attempt, event.allocation, event.at, shares, from_step=kept.step if kept else 0)
    held = snapshot.held
    tag = f"{job.id}.{attempt.number}"
    for share in event.allocation.shares:
        held = held.set(share.node, held.get(share.node, Map()).set(tag, share))
    reason = f"goes on from the checkpoint of step {kept.step}" if kept else ""
    attempts = (*job.attempts, attempt)
    moved = replace(job, state=_move(job, event), reason=reason, attempts=attempts, resuming=False, most_nodes=0)
    return replace(_put(snapshot, moved), held=held)


def _launched(snapshot: Snapshot, event: ev.AttemptLaunched) -> Snapshot:
    found = _current(snapshot, event.job_id, event.attempt)
    if found is None:
        return snapshot
    job, attempt = found
    launched = replace(attempt, launched_at=event.at, master_port=event.master_port, ports=event.ports)
    return _put(snapshot, _with_attempt(job, launched, state=_move(job, event)))


def _share_started(snapshot: Snapshot, event: ev.ShareStarted) -> Snapshot:
    found = _current(snapshot, event.job_id, event.attempt)
    if found is None:
        return snapshot
    job, attempt = found
    if attempt.shares.get(event.node) is not ShareState.PLACED:
        return snapshot
    shares = {**attempt.shares, event.node: ShareState.RUNNING}
    state = _move(job, event)
    started_at = attempt.started_at
    # A short rank may be over and its node clear before the last node has said that it began.
    if state is JobState.CONFIGURING and ShareState.PLACED not in shares.values():
        state, started_at = JobState.RUNNING, event.at
    return _put(snapshot, _with_attempt(job, replace(attempt, shares=shares, started_at=started_at), state=state))


def _process_exited(snapshot: Snapshot, event: ev.ProcessExited) -> Snapshot:
    found = _current(snapshot, event.job_id, event.attempt)
    if found is None:
        return snapshot
    job, attempt = found
    known = {(done.node, done.process) for done in attempt.exits}
    if (event.exit.node, event.exit.process) in known:
        return snapshot
    return _put(snapshot, _with_attempt(job, replace(attempt, exits=(*attempt.exits, event.exit))))


def _cancel_requested(snapshot: Snapshot, event: ev.CancelRequested) -> Snapshot:
    job = snapshot.jobs[event.job_id]
    return _let_go_of_cleared(_put(snapshot, replace(job, cancelled_by=event.by)), job.id) if job.live else snapshot


def _attempt_ending(snapshot: Snapshot, event: ev.AttemptEnding) -> Snapshot:
    found = _current(snapshot, event.job_id, event.attempt)
    if found is None:
        return snapshot
    job, attempt = found
    if attempt.ending is not None:  # the first reason is the reason
        return snapshot
    ending = replace(attempt, ending=event.result, reason=event.reason, resize_to=event.resize_to)
    decided = _put(snapshot, _with_attempt(job, ending, state=_move(job, event), reason=event.reason))
    return _let_go_of_cleared(decided, job.id)


def _share_cleared(snapshot: Snapshot, event: ev.ShareCleared) -> Snapshot:
    """Applies to old attempts too: this is what frees a lost node's devices."""
    job = snapshot.jobs.get(event.job_id)
    attempt = next((a for a in job.attempts if a.number == event.attempt), None) if job else None
    if job is None or attempt is None or attempt.shares.get(event.node) in (None, ShareState.CLEARED):
        return snapshot
    shares = {**attempt.shares, event.node: ShareState.CLEARED}
    cleared = _put(snapshot, _with_attempt(job, replace(attempt, shares=shares)))
    return cleared if keeps_cleared_nodes(job, attempt) else _let_go(cleared, job.id, event.attempt, event.node)


def _let_go(snapshot: Snapshot, job_id: JobId, attempt: int, node: str) -> Snapshot:
    tag = f"{job_id}.{attempt}"
    left = snapshot.held.get(node, Map())
    return replace(snapshot, held=snapshot.held.set(node, left.delete(tag))) if tag in left else snapshot


def _let_go_of_cleared(snapshot: Snapshot, job_id: JobId) -> Snapshot:
    """What a job kept between two attempts is free as soon as there will be no other."""
    job = snapshot.jobs[job_id]
    attempt = job.attempt
    if attempt is not None and not keeps_cleared_nodes(job, attempt):
        for node, state in attempt.shares.items():
            if state is ShareState.CLEARED:
                snapshot = _let_go(snapshot, job.id, attempt.number, node)
    return snapshot


def _attempt_ended(snapshot: Snapshot, event: ev.AttemptEnded) -> Snapshot:
    found = _current(snapshot, event.job_id, event.attempt)
    if found is None:
        return snapshot
    job, attempt = found
    _move(job, event)
    for node, state in attempt.shares.items():
        if state is ShareState.CLEARED:
            snapshot = _let_go(snapshot, job.id, attempt.number, node)
    ended = replace(attempt, ending=event.result, reason=event.reason, ended_at=event.at)
    if event.requeue:
        waiting = replace(
            job,
            state=JobState.PENDING,
            reason=event.reason,
            retries=job.retries + (1 if event.counted else 0),
            resuming=event.resuming,
            most_nodes=event.most_nodes,
        )
        return _put(snapshot, _with_attempt(waiting, ended))
    final = _with_attempt(job, ended, state=JobState.ENDED, result=event.result, reason=event.reason, ended_at=event.at)
    return _put(snapshot, final)


def _checkpoint_kept(snapshot: Snapshot, event: ev.CheckpointKept) -> Snapshot:
    """Only the current attempt delivers (invariant I2)."""
    found = _current(snapshot, event.job_id, event.attempt)
    if found is None:
        return snapshot
    job = found[0]
    kept = Checkpoint(event.attempt, event.node, event.step, event.tree, event.at)
    return _put(snapshot, replace(job, state=_move(job, event), checkpoint=kept))


def _pace_measured(snapshot: Snapshot, event: ev.PaceMeasured) -> Snapshot:
    found = _current(snapshot, event.job_id, event.attempt)
    if found is None:
        return snapshot
    job, attempt = found
    measured = replace(attempt, steps_per_s=event.steps_per_s)
    return _put(snapshot, _with_attempt(job, measured, state=_move(job, event)))


def _job_ended(snapshot: Snapshot, event: ev.JobEnded) -> Snapshot:
    job = snapshot.jobs[event.job_id]
    ended = replace(job, state=_move(job, event), result=event.result, reason=event.reason, ended_at=event.at)
    return _put(snapshot, ended)


_STEPS: Mapping[type[Any], Callable[[Snapshot, Any], Snapshot]] = {
    ev.JobSubmitted: _submitted,
    ev.StartPromised: _start_promised,
    ev.JobPlaced: _placed,
    ev.AttemptLaunched: _launched,
    ev.ShareStarted: _share_started,
    ev.ProcessExited: _process_exited,
    ev.CancelRequested: _cancel_requested,
    ev.AttemptEnding: _attempt_ending,
    ev.ShareCleared: _share_cleared,
    ev.AttemptEnded: _attempt_ended,
    ev.CheckpointKept: _checkpoint_kept,
    ev.PaceMeasured: _pace_measured,
    ev.JobEnded: _job_ended,
    ClockStepped: lambda snapshot, event: moved(snapshot, event.by_s),
    **apply_nodes.STEPS,
    **apply_machines.STEPS,
}
