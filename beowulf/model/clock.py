"""The head's clock was set: every moment from which something is still counted moves along, as if no time had passed.

Machines that nobody uses any more have flat batteries: such a head comes up in 2010, and NTP sets it right while jobs
run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar

from beowulf.model.cloud import Machine
from beowulf.model.job import Attempt, Job
from beowulf.model.node import Node
from beowulf.model.snapshot import Snapshot

STEP_S = 2.0  # what NTP does by going faster or slower for a while, the clock of the time since the boot does as well

T = TypeVar("T", Job, Attempt, Machine)


@dataclass(frozen=True, slots=True)
class Clock:
    """What the head's clock said. ``booted_at``: when its machine was booted, by this clock: another moment once it is
    set."""

    at: float
    boot_id: str = ""  # "": nobody counts the time since the boot
    booted_at: float = 0.0


@dataclass(frozen=True, slots=True)
class ClockStepped:
    """``at`` is by the new time, ``by_s`` what that is ahead of the old one."""

    at: float
    by_s: float
    clock: Clock
    detail: str = ""


def step_s(before: Clock, now: Clock) -> float:
    """How far the clock was set since ``before``; 0: not at all.

    Over a reboot nothing counts the time that passed: a clock that went on is believed, and one that is behind where it
    was is taken to have been set back while no time passed.
    """
    if not now.boot_id:
        return 0.0
    same_boot = now.boot_id == before.boot_id
    step = now.booted_at - before.booted_at if same_boot else min(0.0, now.at - before.at)
    return step if abs(step) >= STEP_S else 0.0


def moved(snapshot: Snapshot, by_s: float) -> Snapshot:
    """What has not ended, nodes, and rented machines whose money still counts. What jobs that ended wrote stays."""
    live = (snapshot.jobs[job_id] for index in (snapshot.pending, snapshot.active) for job_id in index)
    return replace(
        snapshot,
        jobs=snapshot.jobs.update({job.id: _job(job, by_s) for job in live}),
        nodes=snapshot.nodes.update({node.id: _node(node, by_s) for node in snapshot.nodes.values()}),
        machines=snapshot.machines.update({one.id: _later(one, by_s, MACHINE) for one in snapshot.machines.values()}),
        unreachable=snapshot.unreachable.update({pair: at + by_s for pair, at in snapshot.unreachable.items()}),
    )


JOB = ("submitted_at", "promised_at", "ended_at")
ATTEMPT = ("placed_at", "launched_at", "started_at", "ended_at")
MACHINE = (
    "intended_at",
    "created_at",
    "ready_at",
    "idle_since",
    "terminating_at",
    "gone_at",
    "reclaim_at",
    "lease_until",
)


def _later(value: T, by_s: float, names: tuple[str, ...], **more: Any) -> T:
    """0 is no moment: it did not happen."""
    changes: dict[str, Any] = {name: at + by_s for name in names if (at := getattr(value, name))}
    return replace(value, **changes, **more)


def _job(job: Job, by_s: float) -> Job:
    kept = replace(job.checkpoint, at=job.checkpoint.at + by_s) if job.checkpoint else None
    return _later(job, by_s, JOB, checkpoint=kept, attempts=tuple(_attempt(one, by_s) for one in job.attempts))


def _attempt(attempt: Attempt, by_s: float) -> Attempt:
    exits = tuple(replace(done, at=done.at + by_s) for done in attempt.exits)
    return _later(attempt, by_s, ATTEMPT, exits=exits)


def _node(node: Node, by_s: float) -> Node:
    seen = node.failures
    failures = replace(seen, at=seen.at + by_s) if seen.weight else seen
    return replace(node, failures=failures, changed_at=node.changed_at + by_s if node.changed_at else 0.0)
