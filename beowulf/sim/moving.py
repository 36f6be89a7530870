"""Running jobs in a replay that go to faster devices: what they keep, what it costs, and what it gains.

Which job moves is asked of the scheduler, as the head asks it.
"""

from __future__ import annotations

from dataclasses import replace

from beowulf.model.allocation import Allocation
from beowulf.model.job import Checkpoint, Job, JobId, Result, Tree
from beowulf.scheduler import Memo, resizes
from beowulf.scheduler.resizing import pause_s as pause_of
from beowulf.scheduler.throughput import steps_left
from beowulf.sim.outcome import Move, Moving
from beowulf.sim.trace import TraceJob

NO_TREE = Tree("", 0, 0, "")
LOOK_S = 1.0  # so long after its pause a job is looked at: sums of times are not exact


def reports(job: TraceJob) -> bool:
    """Whether its ranks say how fast they are."""
    return bool(job.rates and job.spec.steps and job.spec.checkpoint)


def movable(job: TraceJob) -> bool:
    """What another number of nodes would make of its pace, no trace says."""
    return reports(job) and not job.spec.elastic


def pause_s(job: Job, moving: Moving) -> float:
    """From its start until the scheduler may move it."""
    return pause_of(job, moving.every_s) + LOOK_S


def left_s(job: Job, steps_per_s: float) -> float:
    """From the first step of its attempt to its end; inf where it cannot run."""
    return steps_left(job.spec, job.attempts[-1].from_step) / steps_per_s if steps_per_s else float("inf")


def wish(memo: Memo, now: float, moving: Moving, but: frozenset[JobId]) -> Job | None:
    """The next job that is to go elsewhere."""
    wishes = resizes(memo, now, moving.every_s, but)
    return memo.snapshot.jobs[wishes[0].job_id] if wishes else None


def asked(job: Job, now: float) -> Job:
    """With a checkpoint of the last step it has done by now."""
    attempt = job.attempts[-1]
    done = attempt.from_step + int(attempt.steps_per_s * max(0.0, now - attempt.started_at))
    step = min(done, job.spec.steps - 1)
    return replace(job, checkpoint=Checkpoint(attempt.number, attempt.allocation.nodes[0], step, NO_TREE, now))


def gained(job: Job, there: Allocation, steps_per_s: float, now: float, cost_s: float) -> Move:
    """``job`` as it was `asked`; ``steps_per_s`` is that on ``there``."""
    assert job.checkpoint is not None
    attempt, left = job.attempts[-1], steps_left(job.spec, job.checkpoint.step)
    stay_s, away_s = left / attempt.steps_per_s, cost_s + left / steps_per_s
    device = attempt.allocation.device
    return Move(job.number, now, job.checkpoint.step, device, there.device, stay_s - away_s)


def begun(job: Job) -> tuple[float, int]:
    """(when the first attempt began of which something was kept, one more than attempts of which nothing was)."""
    last = job.attempts[-1]
    kept = [one for one in job.attempts if one is last or one.ending is Result.RESIZED]
    return kept[0].started_at, 1 + len(job.attempts) - len(kept)
