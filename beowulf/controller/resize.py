"""A running job takes up nodes that became free, or gives some back: it makes a checkpoint, ends and is placed anew.

The wish is not written down: a head that is killed between asking and ending comes to it again by itself.
"""

from __future__ import annotations

from beowulf import launch, scheduler
from beowulf.controller import gang
from beowulf.controller.draft import Draft, Resizing
from beowulf.controller.verdict import Verdict
from beowulf.model.job import Result

LOOK_EVERY_S = 2.0


def look(draft: Draft) -> None:
    if abs(draft.now - draft.volatile.resize_looked) < LOOK_EVERY_S:
        return
    draft.volatile.resize_looked = draft.now
    for wish in scheduler.resizes(draft.snapshot, draft.now, draft.policy.resize_every_s):
        job = draft.snapshot.jobs[wish.job_id]
        attempt = job.attempt
        if attempt is None or launch.checkpoint_signal(job.spec) is None:
            continue
        if job.tag not in draft.volatile.deaf and job.tag not in draft.volatile.resizing:
            draft.volatile.resizing[job.tag] = Resizing(draft.now)
            for node in attempt.allocation.nodes:
                draft.send(node, "signal", job.tag, signal=launch.checkpoint_signal(job.spec))


def carry_out(draft: Draft) -> None:
    """Ends the attempts that have made the checkpoint they were asked for, where the wish still stands."""
    for tag, asked in list(draft.volatile.resizing.items()):
        found = draft.current(tag)
        if found is None or found[1].ending is not None:
            del draft.volatile.resizing[tag]
        elif draft.volatile.checkpointing(tag).made_at >= asked.since:
            del draft.volatile.resizing[tag]
            for wish in scheduler.resizes(draft.snapshot, draft.now, draft.policy.resize_every_s):
                if wish.job_id == found[0].id:
                    gang.end(draft, found[0], Verdict(Result.RESIZED, wish.sentence), resize_to=wish.nodes)
                    break
        elif draft.now - asked.since >= draft.policy.checkpoint_answer_s:
            del draft.volatile.resizing[tag]
            draft.volatile.deaf.add(tag)
