"""A running job takes up nodes that became free, or gives some back: it makes a checkpoint, ends and is placed anew.

The wish is not written down: a head that is killed between asking and ending comes to it again by itself.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

from beowulf import launch, scheduler
from beowulf.controller import gang
from beowulf.controller.draft import Draft, Resizing
from beowulf.controller.verdict import Verdict
from beowulf.model.job import Result
from beowulf.model.market import MarketRules

LOOK_EVERY_S = 2.0


def look(draft: Draft) -> None:
    if abs(draft.now - draft.volatile.resize_looked) < LOOK_EVERY_S:
        return
    draft.volatile.resize_looked = draft.now
    for wish in _wishes(draft):
        job = draft.snapshot.jobs[wish.job_id]
        if job.attempt is not None and job.tag not in draft.volatile.resizing:
            draft.volatile.resizing[job.tag] = Resizing(draft.now)
            for node in job.attempt.allocation.nodes:
                draft.send(node, "signal", job.tag, signal=launch.checkpoint_signal(job.spec))


def _wishes(draft: Draft) -> tuple[scheduler.Resize, ...]:
    every_s = draft.policy.resize_every_s
    jobs = (draft.snapshot.jobs[job_id] for job_id in draft.snapshot.active)
    deaf = (
        job.id
        for job in jobs
        if launch.checkpoint_signal(job.spec) is None
        or draft.now - draft.volatile.deaf.get(job.tag, -math.inf) < every_s
    )
    planner = partial(scheduler.plan, rules=replace(draft.policy.rules, market=MarketRules()))
    return scheduler.resizes(draft.snapshot, draft.now, every_s, frozenset(deaf), planner)


def carry_out(draft: Draft) -> None:
    """Ends the attempts that have made the checkpoint they were asked for, where the wish still stands."""
    for tag, asked in list(draft.volatile.resizing.items()):
        found = draft.current(tag)
        if found is None or found[1].ending is not None:
            del draft.volatile.resizing[tag]
        elif draft.volatile.checkpointing(tag).made_at >= asked.since:
            del draft.volatile.resizing[tag]
            for wish in _wishes(draft):
                if wish.job_id == found[0].id:
                    gang.end(draft, found[0], Verdict(Result.RESIZED, wish.sentence), resize_to=wish.nodes)
        elif draft.now - asked.since >= draft.policy.checkpoint_answer_s:
            del draft.volatile.resizing[tag]
            draft.volatile.deaf[tag] = draft.now
