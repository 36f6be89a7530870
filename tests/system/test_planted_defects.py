"""A simulation that finds nothing proves nothing: each defect here is found within the seeds that are always played."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from history import Broken, play
from test_whole_system import QUICK

from beowulf.burst import collector, ledger
from beowulf.controller import answer, checkpoints, gang
from beowulf.controller.draft import Draft, DropCheckpoint
from beowulf.controller.loop import Controller
from beowulf.model import apply as moves
from beowulf.model import event as ev
from beowulf.model.job import ShareState
from beowulf.model.market import Left
from beowulf.scheduler import parts

Patch = pytest.MonkeyPatch


def old_attempts_are_heard(patch: Patch) -> None:
    def newest(snapshot: Any, job_id: str, attempt: int) -> Any:
        job = snapshot.jobs.get(job_id)
        return (job, job.attempt) if job is not None and job.attempt is not None and job.live else None

    patch.setattr(moves, "_current", newest)
    patch.setattr(Draft, "current", lambda self, tag: newest(self.snapshot, tag.rpartition(".")[0], 0))


def devices_are_free_once_the_end_is_decided(patch: Patch) -> None:
    honest = moves._STEPS[ev.AttemptEnding]

    def released(snapshot: Any, event: Any) -> Any:
        after = honest(snapshot, event)
        for node in after.jobs[event.job_id].attempt.shares:
            after = moves._let_go(after, event.job_id, event.attempt, node)
        return after

    patch.setitem(moves._STEPS, ev.AttemptEnding, released)  # type: ignore[arg-type]


def a_lost_nodes_devices_are_free_before_it_was_swept(patch: Patch) -> None:
    honest = moves._STEPS[ev.AttemptEnded]

    def released(snapshot: Any, event: Any) -> Any:
        after = honest(snapshot, event)
        for node in after.jobs[event.job_id].attempt.shares:
            after = moves._let_go(after, event.job_id, event.attempt, node)
        return after

    patch.setitem(moves._STEPS, ev.AttemptEnded, released)  # type: ignore[arg-type]


def who_is_ready_goes(patch: Patch) -> None:
    def at_once(draft: Any, attempt: Any, tag: str) -> None:
        for peer in draft.volatile.gathering(tag).ready:
            if attempt.shares[peer] is ShareState.PLACED:
                draft.send(peer, "go", tag)

    patch.setattr(gang, "_let_go", at_once)


def people_are_answered_before_the_commit(patch: Patch) -> None:
    honest = Controller._commit
    waiting: dict[int, list[Any]] = {}

    def write_behind(self: Any, draft: Any, reports: Any) -> None:
        late = waiting.setdefault(id(self), [])
        draft.events[:0] = late
        late[:] = draft.events
        if len(late) > 3 or not late:
            late.clear()
            honest(self, draft, reports)
        else:
            self.snapshot = draft.snapshot

    patch.setattr(Controller, "_commit", write_behind)


def keys_are_forgotten(patch: Patch) -> None:
    honest = answer._submit
    patch.setitem(answer._ANSWERS, answer.co.Submit, lambda draft, wish: honest(draft, replace(wish, key="")))  # type: ignore[arg-type]


def some_changes_have_no_event(patch: Patch) -> None:
    honest = Draft.record

    def silent(self: Draft, event: Any) -> None:
        honest(self, event)
        if isinstance(event, ev.ShareStarted):
            self.events.pop()

    patch.setattr(Draft, "record", silent)


def gpu_memory_has_no_end(patch: Patch) -> None:
    patch.setattr(parts, "may_join", lambda resources, owner, node, part: len(part.owners) < node.share_gpus)


def no_cap_is_kept(patch: Patch) -> None:
    patch.setattr(ledger, "over_budget", lambda *_: "")
    patch.setattr(ledger, "left", lambda *_: Left())


def checkpoints_are_dropped_with_the_old_one(patch: Patch) -> None:
    patch.setattr(checkpoints, "DropCheckpoint", lambda job_id, digest="": DropCheckpoint(job_id))


def a_list_is_believed_at_once(patch: Patch) -> None:
    honest = collector.judge
    patch.setattr(collector, "judge", lambda machines, look, grace_s: honest(machines, look, 0.0))


DEFECTS: list[tuple[Callable[[Patch], None], str]] = [
    (old_attempts_are_heard, ""),
    (devices_are_free_once_the_end_is_decided, ""),
    (a_lost_nodes_devices_are_free_before_it_was_swept, ""),
    (who_is_ready_goes, "I3"),
    (people_are_answered_before_the_commit, "I1"),
    (keys_are_forgotten, "I1"),
    (some_changes_have_no_event, "I8"),
    (gpu_memory_has_no_end, "I"),
    (no_cap_is_kept, "I7"),
    (checkpoints_are_dropped_with_the_old_one, "I1: the checkpoint"),
    (a_list_is_believed_at_once, "I5: sim-"),
]


@pytest.mark.parametrize(("defect", "invariant"), DEFECTS, ids=[defect.__name__ for defect, _ in DEFECTS])
def test_a_planted_defect_is_found(defect: Callable[[Patch], None], invariant: str, monkeypatch: Patch) -> None:
    defect(monkeypatch)
    with pytest.raises(Broken) as found:
        for seed in range(QUICK):
            play(seed)
    assert str(found.value).startswith(invariant)
    assert "replay: python tests/system" in str(found.value)
