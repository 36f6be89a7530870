"""When the head's clock is set, every moment that is still counted from moves, and no decision about money changes."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from beowulf.model import event as ev
from beowulf.model.apply import apply
from beowulf.model.clock import ATTEMPT, JOB, MACHINE, Clock, ClockStepped, moved
from beowulf.model.cloud import Machine
from beowulf.model.job import Attempt, Checkpoint, Job, JobSpec, RankExit, Tree
from beowulf.model.node import Endpoint, Failures, Node
from beowulf.model.snapshot import Snapshot

MOMENTS = ("_at", "_since", "_until")


def moments(kind: type[Any]) -> set[str]:
    return {one.name for one in fields(kind) if one.name.endswith(MOMENTS) and one.type == "float"}


def test_no_moment_is_forgotten() -> None:
    assert set(JOB) == moments(Job)
    assert set(ATTEMPT) == moments(Attempt)
    assert set(MACHINE) == moments(Machine)
    assert moments(Node) == {"changed_at"} and moments(RankExit) | moments(Checkpoint) | moments(Failures) == set()


def waiting(at: float) -> Snapshot:
    """A job that waits since ``at``, one that has ended, and a node."""
    snapshot = apply(Snapshot(), ev.NodeAdded(at, "n1", Endpoint("n1"), "key"))
    for number in (1, 2):
        snapshot = apply(snapshot, ev.JobSubmitted(at, str(number), number, JobSpec("j", "true"), "me", 1))
    return apply(snapshot, ev.JobEnded(at + 1.0, "2", "CANCELLED", "no"))  # type: ignore[arg-type]


@given(st.floats(-1e9, 1e9).filter(lambda by_s: abs(by_s) > 1.0))
def test_what_lives_moves_and_what_has_ended_stays(by_s: float) -> None:
    before = waiting(2e9)
    node = replace(before.nodes["n1"], failures=Failures(1.0, 2e9 - 5.0))
    before = replace(before, nodes=before.nodes.set("n1", node))
    at = 2e9 + 10.0 + by_s
    after = apply(before, ClockStepped(at, by_s, Clock(at, "b", 7.0)))
    assert after.jobs["1"].submitted_at == 2e9 + by_s and after.jobs["1"].promised_at == 0.0
    assert after.jobs["2"] == before.jobs["2"]
    assert after.nodes["n1"].changed_at == 2e9 + by_s
    assert after.nodes["n1"].failures.per_hour(at) == node.failures.per_hour(2e9 + 10.0)
    assert after.changes[-1].jobs == ("1",) and after.changes[-1].nodes == ("n1",)
    assert moved(moved(before, 1000.0), -1000.0) == before


def test_an_attempt_moves_whole() -> None:
    from beowulf.model.allocation import Allocation

    attempt = Attempt(1, Allocation(()), 1.0, {}, 2.0, started_at=3.0, exits=(RankExit("0", "n1", 0, 0, 4.0),))
    kept = Checkpoint(1, "n1", 5, Tree("d", 1, 1, "n1"), 6.0)
    base = waiting(1.0)
    job = replace(base.jobs["1"], attempts=(attempt,), checkpoint=kept)
    after = moved(replace(base, jobs=base.jobs.set("1", job)), 100.0).jobs["1"]
    now = after.attempts[0]
    assert (now.placed_at, now.launched_at, now.started_at, now.ended_at) == (101.0, 102.0, 103.0, 0.0)
    assert now.exits[0].at == 104.0 and after.checkpoint is not None and after.checkpoint.at == 106.0
