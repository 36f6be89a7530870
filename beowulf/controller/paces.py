"""How fast jobs go, by the steps their ranks report: told to the scheduler early, and again whenever twice as sure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from beowulf.controller.draft import Draft
from beowulf.controller.volatile import Pacing
from beowulf.model import event as ev
from beowulf.model.job import JobState
from beowulf.scheduler import concerned

FIRST_AFTER_S = 30.0


def on_reports(draft: Draft, tag: str, rank: int, lines: Sequence[Mapping[str, Any]]) -> None:
    """All ranks of a gang do the same steps, so rank 0 speaks for them. Events go by the logarithm of the time."""
    found = draft.current(tag)
    steps = [line["step"] for line in lines if type(line.get("step")) is int]
    if rank != 0 or not steps or found is None or not concerned(found[0].spec):
        return
    job, attempt = found
    if job.state is not JobState.RUNNING or attempt.ending is not None:
        return
    seen = draft.volatile.pacing.setdefault(tag, Pacing(steps[-1], draft.now, draft.now + FIRST_AFTER_S))
    passed_s, done = draft.now - seen.since, max(steps) - seen.step
    if draft.now >= seen.again_at and done > 0 and passed_s > 0:
        seen.again_at = draft.now + passed_s
        draft.record(ev.PaceMeasured(draft.now, job.id, attempt.number, done / passed_s))
