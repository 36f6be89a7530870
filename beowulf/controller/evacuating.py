"""Jobs leave a machine that will not be there much longer: a checkpoint is asked for, then they are queued again."""

from __future__ import annotations

import math
from collections.abc import Iterator

from beowulf import launch
from beowulf.burst import keeping
from beowulf.controller import gang
from beowulf.controller.draft import Draft
from beowulf.controller.verdict import Verdict
from beowulf.model.cloud import Machine, MachineState
from beowulf.model.job import Attempt, Job, Result

MARGIN_S = 30.0  # before the machine goes, for the last checkpoint to come home


def look(draft: Draft) -> None:
    for machine, by in _pressed(draft):
        for tag in list(draft.snapshot.held.get(machine.id, {})):
            found = draft.current(tag)
            if found is not None and found[1].ending is None:
                _leave(draft, machine, by, *found)
    leaving = draft.volatile.rented.leaving
    for tag in [tag for tag in leaving if draft.current(tag) is None]:
        del leaving[tag]


def _pressed(draft: Draft) -> Iterator[tuple[Machine, float]]:
    for machine in draft.snapshot.machines.values():
        if machine.state is MachineState.DRAINING:
            by = keeping.leave_by(machine, draft.volatile.rented.too_dear.get(machine.id, ""))
            if by < math.inf:
                yield machine, by


def _leave(draft: Draft, machine: Machine, by: float, job: Job, attempt: Attempt) -> None:
    leaving = draft.volatile.rented.leaving
    number = launch.checkpoint_signal(job.spec)
    if job.tag not in leaving:
        leaving[job.tag] = draft.now
        if number is not None:
            for node in attempt.allocation.nodes:
                draft.send(node, "signal", job.tag, signal=number)
    saved = number is not None and draft.volatile.checkpointing(job.tag).made_at > leaving[job.tag]
    if saved or draft.now >= by - MARGIN_S:
        gang.end(draft, job, Verdict(Result.PREEMPTED, f"{machine.id}: {machine.reason}"))
