"""Jobs take up idle nodes and give some back when others wait; whatever the cluster, a wish does what it says."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from beowulf.model import event as ev
from beowulf.model.apply import apply
from beowulf.model.job import Checkpointing, JobSpec, JobState, Resources, Result
from beowulf.model.node import Endpoint, Facts
from beowulf.model.rules import Rules
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler import Resize, known, plan
from beowulf.scheduler import resizes as resizes_of

NOW, EVERY_S = 1000.0, 60.0
NAMES = tuple(f"n{number}" for number in range(1, 9))


def resizes(snapshot: Snapshot, now: float, every_s: float, but: frozenset[str] = frozenset()) -> tuple[Resize, ...]:
    return resizes_of(known(None, snapshot, Rules()), now, every_s, but)


def cluster(cpus: tuple[int, ...]) -> Snapshot:
    snapshot = Snapshot()
    for name, threads in zip(NAMES, cpus, strict=False):
        snapshot = apply(snapshot, ev.NodeAdded(0.0, name, Endpoint(name), "ssh-ed25519 AAAA"))
        facts = Facts(cpus=tuple(range(threads)), memory_mib=1024)
        snapshot = apply(snapshot, ev.NodeUp(0.0, name, f"/r/{name}", facts))
    return snapshot


def submit(snapshot: Snapshot, spec: JobSpec) -> Snapshot:
    number = snapshot.next_number
    return apply(snapshot, ev.JobSubmitted(float(number), str(number), number, spec, "ada", 1000))


def start(snapshot: Snapshot, now: float) -> Snapshot:
    """Everything the plan starts runs at once."""
    for begun in plan(snapshot, now).starts:
        number = len(snapshot.jobs[begun.job_id].attempts) + 1
        snapshot = apply(snapshot, ev.JobPlaced(now, begun.job_id, number, begun.allocation))
        for node in begun.allocation.nodes:
            snapshot = apply(snapshot, ev.ShareStarted(now, begun.job_id, number, node))
    return snapshot


def carry_out(snapshot: Snapshot, wish: Resize, now: float) -> Snapshot:
    job = snapshot.jobs[wish.job_id]
    number = len(job.attempts)
    assert job.attempt is not None
    snapshot = apply(snapshot, ev.AttemptEnding(now, job.id, number, Result.RESIZED, wish.sentence, wish.nodes))
    for node in job.attempt.allocation.nodes:
        snapshot = apply(snapshot, ev.ShareCleared(now, job.id, number, node))
    ended = ev.AttemptEnded(now, job.id, number, Result.RESIZED, wish.sentence, True, False, True, wish.nodes)
    return start(apply(snapshot, ended), now)


def elastic(low: int, high: int, cpus: int = 1, priority: int = 0) -> JobSpec:
    resources = Resources(cpus=cpus)
    keeping = Checkpointing("ckpt")
    return JobSpec(
        "e", "true", min_nodes=low, max_nodes=high, resources=resources, checkpoint=keeping, priority=priority
    )


def rigid(nodes: int, cpus: int = 1, priority: int = 0) -> JobSpec:
    return JobSpec("r", "true", min_nodes=nodes, max_nodes=nodes, resources=Resources(cpus=cpus), priority=priority)


def size(snapshot: Snapshot, job: str) -> int:
    attempt = snapshot.jobs[job].attempt
    return len(attempt.allocation.nodes) if attempt else 0


Elastic = st.builds(
    lambda low, more, cpus, priority: elastic(low, low + more, cpus, priority),
    st.integers(1, 2),
    st.integers(1, 6),
    st.integers(1, 2),
    st.integers(0, 1),
)
Rigid = st.builds(rigid, st.integers(1, 3), st.integers(1, 2), st.integers(0, 1))


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.integers(1, 3), min_size=4, max_size=8).map(tuple),
    st.tuples(Rigid, Elastic, Elastic | Rigid).map(list) | st.tuples(Elastic, Rigid, Rigid).map(list),
    st.lists(Elastic | Rigid, max_size=2),
    st.data(),
)
def test_a_wish_does_what_it_says(
    cpus: tuple[int, ...], first: list[JobSpec], later: list[JobSpec], data: st.DataObject
) -> None:
    snapshot = cluster(cpus)
    for spec in first:
        snapshot = submit(snapshot, spec)
    snapshot = start(snapshot, 0.0)
    running = [job_id for job_id in snapshot.active if snapshot.jobs[job_id].state is JobState.RUNNING]
    for job_id in running:
        if data.draw(st.booleans()) and not snapshot.jobs[job_id].spec.elastic:
            attempt = snapshot.jobs[job_id].attempt
            assert attempt is not None
            for node in attempt.allocation.nodes:
                snapshot = apply(snapshot, ev.ShareCleared(1.0, job_id, 1, node))
            snapshot = apply(snapshot, ev.AttemptEnded(1.0, job_id, 1, Result.COMPLETED, ""))
    for spec in later:
        snapshot = submit(snapshot, spec)
    snapshot = start(snapshot, 2.0)
    wishes = resizes(snapshot, NOW, EVERY_S)
    assert len(wishes) <= 1
    for wish in wishes:
        spec, before = snapshot.jobs[wish.job_id].spec, size(snapshot, wish.job_id)
        assert spec.min_nodes <= wish.nodes <= spec.max_nodes and wish.nodes != before
        after = carry_out(snapshot, wish, NOW)
        assert size(after, wish.job_id) == wish.nodes, "the plan placed it otherwise"
        begun = {job for job in snapshot.pending if job not in after.pending}
        if wish.nodes < before:
            assert any(after.jobs[job].spec.priority >= spec.priority for job in begun), "it gave nodes back for nobody"
        assert not [again for again in resizes(after, NOW + 1, EVERY_S) if again.job_id == wish.job_id]


def grown(snapshot: Snapshot) -> Snapshot:
    """Two nodes of four were busy while the elastic job started."""
    busy = start(submit(snapshot, replace(rigid(2), nodelist=("n3", "n4"))), 0.0)
    both = start(submit(busy, elastic(1, 4)), 0.0)
    for node in ("n3", "n4"):
        both = apply(both, ev.ShareCleared(1.0, "1", 1, node))
    return apply(both, ev.AttemptEnded(1.0, "1", 1, Result.COMPLETED, ""))


def test_nodes_that_came_free_are_taken_up_after_a_while() -> None:
    snapshot = grown(cluster((1, 1, 1, 1)))
    assert size(snapshot, "2") == 2
    assert resizes(snapshot, EVERY_S - 1, EVERY_S) == ()
    assert resizes(snapshot, EVERY_S, EVERY_S, but=frozenset({"2"})) == ()
    said = "resized from 2 nodes to 4: n3 and n4 can be had"
    assert resizes(snapshot, EVERY_S, EVERY_S) == (Resize("2", 4, said, ("n3", "n4")),)


def test_without_a_checkpoint_key_or_a_range_nothing_is_resized() -> None:
    for spec in (replace(elastic(1, 4), checkpoint=None), elastic(2, 2)):
        busy = start(submit(cluster((1, 1, 1, 1)), replace(rigid(2), nodelist=("n3", "n4"))), 0.0)
        both = start(submit(busy, spec), 0.0)
        for node in ("n3", "n4"):
            both = apply(both, ev.ShareCleared(1.0, "1", 1, node))
        assert resizes(apply(both, ev.AttemptEnded(1.0, "1", 1, Result.COMPLETED, "")), NOW, EVERY_S) == ()


def test_who_waits_gets_just_enough_from_a_job_of_no_higher_priority() -> None:
    full = start(submit(cluster((1,) * 6), elastic(1, 6)), 0.0)
    waits = submit(full, rigid(2))
    assert resizes(waits, NOW, EVERY_S) == (Resize("1", 4, "resized from 6 nodes to 4: job 2 waits for nodes"),)
    above = start(submit(cluster((1,) * 6), elastic(1, 6, priority=1)), 0.0)
    assert resizes(submit(above, rigid(2)), NOW, EVERY_S) == ()
    assert resizes(submit(full, rigid(6)), NOW, EVERY_S) == (), "not even the least it can do with is enough"
