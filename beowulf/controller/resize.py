"""A running job takes up nodes that became free, gives some back, or moves to faster ones: it makes a checkpoint, ends
and is placed anew.

Nodes that are new to it get its files and its environment first, while it goes on: where that fails, it never ends.
The wish is not written down: a head that is killed between asking and ending comes to it again by itself.
"""

from __future__ import annotations

import math

from beowulf import launch, scheduler
from beowulf.controller import gang
from beowulf.controller.draft import Draft, Stage
from beowulf.controller.verdict import Verdict
from beowulf.controller.volatile import Resizing
from beowulf.model.job import Attempt, Job, Result
from beowulf.model.node import NodeId

LOOK_EVERY_S = 2.0


def look(draft: Draft) -> None:
    if abs(draft.now - draft.volatile.resize_looked) < LOOK_EVERY_S:
        return
    draft.volatile.resize_looked = draft.now
    for wish in _wishes(draft):
        job = draft.snapshot.jobs[wish.job_id]
        if job.attempt is None or job.tag in draft.volatile.resizing:
            continue
        draft.volatile.resizing[job.tag] = Resizing(draft.now, set(wish.fresh))
        for node in wish.fresh:
            draft.do(Stage(node, job.tag))
        if not wish.fresh:
            _ask(draft, job, job.attempt)


def on_staged(draft: Draft, tag: str, node: NodeId, error: str) -> None:
    """What a node got that the attempt does not run on: once all have it, the ranks are asked for a checkpoint."""
    found, asked = draft.current(tag), draft.volatile.resizing.get(tag)
    if found is None or asked is None or node not in asked.staging:
        return
    if error:
        del draft.volatile.resizing[tag]
        draft.volatile.deaf[tag] = draft.now
        return
    asked.staging.discard(node)
    if not asked.staging:
        _ask(draft, *found)


def _ask(draft: Draft, job: Job, attempt: Attempt) -> None:
    draft.volatile.resizing[job.tag].since = draft.now
    for node in attempt.allocation.nodes:
        draft.send(node, "signal", job.tag, signal=launch.checkpoint_signal(job.spec))


def _wishes(draft: Draft) -> tuple[scheduler.Resize, ...]:
    every_s = draft.policy.resize_every_s
    keeping = [job for job in map(draft.snapshot.jobs.__getitem__, draft.snapshot.active) if job.spec.checkpoint]
    deaf = (job.id for job in keeping if draft.now - draft.volatile.deaf.get(job.tag, -math.inf) < every_s)
    if not keeping:
        return ()
    memo = scheduler.known(draft.volatile.memo, draft.snapshot, draft.policy.rules)
    return scheduler.resizes(memo, draft.now, every_s, frozenset(deaf))


def carry_out(draft: Draft) -> None:
    """Ends the attempts that have made the checkpoint they were asked for, where the wish still stands."""
    for tag, asked in list(draft.volatile.resizing.items()):
        found = draft.current(tag)
        if found is None or found[1].ending is not None:
            del draft.volatile.resizing[tag]
        elif asked.staging:
            continue
        elif draft.volatile.checkpointing(tag).made_at >= asked.since:
            del draft.volatile.resizing[tag]
            for wish in _wishes(draft):
                if wish.job_id == found[0].id:
                    gang.end(draft, found[0], Verdict(Result.RESIZED, wish.sentence), resize_to=wish.nodes)
        elif draft.now - asked.since >= draft.policy.checkpoint_answer_s:
            del draft.volatile.resizing[tag]
            draft.volatile.deaf[tag] = draft.now
