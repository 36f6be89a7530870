"""Random legal and illegal histories: what must hold of the state after every event."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from immutables import Map

from beowulf.model import event as ev
from beowulf.model.allocation import Allocation, RankSlot, Share
from beowulf.model.apply import apply
from beowulf.model.codec import decode_event, encode_event
from beowulf.model.errors import IllegalMove
from beowulf.model.job import Checkpointing, Job, JobSpec, JobState, RankExit, Result, ShareState
from beowulf.model.node import Endpoint, Facts, NodeState
from beowulf.model.snapshot import ACTIVE, Snapshot, restore

NODES = ("n1", "n2", "n3")


def gang(nodes: tuple[str, ...]) -> Allocation:
    return Allocation(tuple(Share(node, (RankSlot(rank, 0, (0,)),), 64) for rank, node in enumerate(nodes)))


class Histories(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.snapshot = Snapshot()
        self.now = 0.0

    def happen(self, event: ev.Event) -> None:
        kind, body = encode_event(event)
        assert decode_event(kind, body) == event
        self.snapshot = apply(self.snapshot, event)
        self.now += 1.0

    def jobs(self, *states: JobState) -> list[Job]:
        return sorted((j for j in self.snapshot.jobs.values() if j.state in states), key=lambda j: j.id)

    @initialize()
    def nodes(self) -> None:
        for node in NODES:
            self.happen(ev.NodeAdded(self.now, node, Endpoint("127.0.0.1"), "key"))
            self.happen(ev.NodeUp(self.now, node, "/root", Facts()))

    @rule(tasks=st.integers(0, 3), key=st.sampled_from(["", "a", "b"]), elastic=st.booleans())
    def submit(self, tasks: int, key: str, elastic: bool) -> None:
        number = self.snapshot.next_number
        array = tuple(range(1, tasks + 1))
        spec = JobSpec("j", "true")
        if elastic:
            spec = JobSpec("j", "true", max_nodes=3, checkpoint=Checkpointing("ckpt"))
        self.happen(ev.JobSubmitted(self.now, str(number), number, spec, "u", 1, array, key, "d"))

    @precondition(lambda self: self.jobs(JobState.PENDING))
    @rule(data=st.data(), nodes=st.lists(st.sampled_from(NODES), min_size=1, unique=True))
    def place(self, data: st.DataObject, nodes: list[str]) -> None:
        job = data.draw(st.sampled_from(self.jobs(JobState.PENDING)))
        self.happen(ev.JobPlaced(self.now, job.id, len(job.attempts) + 1, gang(tuple(nodes))))

    @precondition(lambda self: self.jobs(*ACTIVE))
    @rule(data=st.data(), node=st.sampled_from(NODES), old=st.booleans())
    def start_share(self, data: st.DataObject, node: str, old: bool) -> None:
        job = data.draw(st.sampled_from(self.jobs(*ACTIVE)))
        self.happen(ev.ShareStarted(self.now, job.id, len(job.attempts) - int(old), node))

    @precondition(lambda self: self.jobs(*ACTIVE))
    @rule(data=st.data(), node=st.sampled_from(NODES), code=st.integers(0, 3))
    def exit_process(self, data: st.DataObject, node: str, code: int) -> None:
        job = data.draw(st.sampled_from(self.jobs(*ACTIVE)))
        before = job.attempts[-1].exits
        self.happen(ev.ProcessExited(self.now, job.id, len(job.attempts), RankExit("0", node, code)))
        after = self.snapshot.jobs[job.id].attempts[-1].exits
        assert after[: len(before)] == before  # the first failure stays the first

    @precondition(lambda self: self.jobs(*ACTIVE))
    @rule(data=st.data(), result=st.sampled_from(list(Result)))
    def ending(self, data: st.DataObject, result: Result) -> None:
        job = data.draw(st.sampled_from(self.jobs(*ACTIVE)))
        first = job.attempts[-1].ending
        self.happen(ev.AttemptEnding(self.now, job.id, len(job.attempts), result, "because"))
        assert self.snapshot.jobs[job.id].attempts[-1].ending == (first or result)

    @precondition(lambda self: self.snapshot.jobs)
    @rule(data=st.data(), node=st.sampled_from(NODES))
    def clear(self, data: st.DataObject, node: str) -> None:
        job = data.draw(st.sampled_from(sorted(self.snapshot.jobs.values(), key=lambda j: j.id)))
        number = data.draw(st.integers(0, len(job.attempts) + 1))
        self.happen(ev.ShareCleared(self.now, job.id, number, node))

    @precondition(lambda self: self.jobs(JobState.COMPLETING))
    @rule(data=st.data(), requeue=st.booleans())
    def end(self, data: st.DataObject, requeue: bool) -> None:
        job = data.draw(st.sampled_from(self.jobs(JobState.COMPLETING)))
        self.happen(ev.AttemptEnded(self.now, job.id, len(job.attempts), Result.NODE_FAIL, "r", requeue))

    @precondition(lambda self: self.jobs(JobState.ENDED))
    @rule(data=st.data())
    def nothing_follows_the_end(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.jobs(JobState.ENDED)))
        with pytest.raises(IllegalMove):
            apply(self.snapshot, ev.JobPlaced(self.now, job.id, len(job.attempts) + 1, gang(("n1",))))
        late = ev.AttemptEnding(self.now, job.id, len(job.attempts), Result.FAILED, "late")
        assert apply(self.snapshot, late) == self.snapshot

    @rule()
    def controller_restarts(self) -> None:
        self.happen(ev.ControllerStarted(self.now, 2))
        assert all(node.state is NodeState.UNKNOWN for node in self.snapshot.nodes.values())

    @invariant()
    def indexes_are_what_the_jobs_say(self) -> None:
        keys = [(key, job_id, digest) for key, (job_id, digest) in self.snapshot.keys.items()]
        derived = restore(self.snapshot.jobs.values(), self.snapshot.nodes.values(), keys)
        assert derived.pending == self.snapshot.pending
        assert derived.active == self.snapshot.active
        held = {node: shares for node, shares in self.snapshot.held.items() if shares}
        assert Map(held) == derived.held
        assert derived.next_number == self.snapshot.next_number

    @invariant()
    def a_running_gang_is_whole(self) -> None:
        for job in self.snapshot.jobs.values():
            if job.state is JobState.RUNNING:
                assert job.attempt is not None
                assert ShareState.PLACED not in job.attempt.shares.values()


Histories.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestHistories = Histories.TestCase


def test_an_illegal_move_tells_the_story() -> None:
    snapshot = apply(Snapshot(), ev.JobSubmitted(0.0, "1", 1, JobSpec("j", "true"), "u", 1))
    with pytest.raises(IllegalMove, match=r"job 1 is PENDING: AttemptEnded"):
        from beowulf.model.apply import _move

        _move(snapshot.jobs["1"], ev.AttemptEnded(0.0, "1", 1, Result.FAILED, ""))


def test_a_gang_runs_though_one_node_was_over_before_the_last_began() -> None:
    snapshot = Snapshot()
    for node in ("n1", "n2"):
        snapshot = apply(snapshot, ev.NodeAdded(1.0, node, Endpoint("127.0.0.1"), "key"))
    for event in (
        ev.JobSubmitted(2.0, "1", 1, JobSpec("short", "true"), "u", 1),
        ev.JobPlaced(2.0, "1", 1, gang(("n1", "n2"))),
        ev.AttemptLaunched(2.0, "1", 1, 4000),
        ev.ShareStarted(3.0, "1", 1, "n1"),
        ev.ShareCleared(3.0, "1", 1, "n1"),
        ev.ShareStarted(4.0, "1", 1, "n2"),
    ):
        snapshot = apply(snapshot, event)
    assert snapshot.jobs["1"].state is JobState.RUNNING


@pytest.mark.parametrize(
    "decides", [ev.AttemptEnding(4.0, "1", 1, Result.COMPLETED, ""), ev.CancelRequested(4.0, "1", "ann")]
)
def test_what_is_kept_for_the_next_attempt_is_free_once_there_will_be_none(decides: ev.Event) -> None:
    """A head that starts anew comes to the same: it knows the values alone, not how they came about."""
    snapshot = Snapshot()
    spec = JobSpec("elastic", "true", max_nodes=3, checkpoint=Checkpointing("ckpt"))
    for event in (
        *(ev.NodeAdded(1.0, node, Endpoint("127.0.0.1"), "key") for node in ("n1", "n2")),
        ev.JobSubmitted(2.0, "1", 1, spec, "u", 1),
        ev.JobPlaced(2.0, "1", 1, gang(("n1", "n2"))),
        ev.AttemptLaunched(2.0, "1", 1, 4000),
        *(ev.ShareStarted(3.0, "1", 1, node) for node in ("n1", "n2")),
        ev.ShareCleared(3.0, "1", 1, "n1"),
    ):
        snapshot = apply(snapshot, event)
    assert snapshot.held["n1"]
    snapshot = apply(snapshot, decides)
    assert not snapshot.held["n1"] and snapshot.held["n2"]
    assert "n1" not in restore(snapshot.jobs.values(), snapshot.nodes.values(), ()).held


def test_the_first_promised_start_counts_and_only_of_a_job_that_waits() -> None:
    snapshot = apply(Snapshot(), ev.JobSubmitted(0.0, "1", 1, JobSpec("j", "true"), "u", 1))
    for at in (100.0, 200.0):
        snapshot = apply(snapshot, ev.StartPromised(1.0, "1", at))
    assert snapshot.jobs["1"].promised_at == 100.0 and "1" in snapshot.pending
    placed = apply(snapshot, ev.JobPlaced(2.0, "1", 1, gang(("n1",))))
    assert placed.jobs["1"].promised_at == 100.0
    with pytest.raises(IllegalMove):
        apply(placed, ev.StartPromised(3.0, "1", 4.0))
