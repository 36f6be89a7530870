"""What must hold for any cluster and any queue."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from beowulf.model.apply import apply
from beowulf.model.event import JobPlaced, JobSubmitted, NodeAdded, NodeDrained, NodeUp, PeersUnreachable
from beowulf.model.job import JobSpec, Resources
from beowulf.model.node import Endpoint, Facts, Gpu
from beowulf.model.rules import Rules
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler import Placement, Plan, Start, dry_run, explain, plan

NAMES = ("n1", "n2", "n3", "n10", "m1")


@st.composite
def nodes(draw: Any) -> list[Any]:
    events: list[Any] = []
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=5)):
        cards = tuple(
            Gpu(index, draw(st.sampled_from(["A", "B"])), "nvidia", "", 1000, healthy=draw(st.booleans()))
            for index in range(draw(st.integers(0, 3)))
        )
        facts = Facts(cpus=tuple(range(draw(st.integers(1, 6)))), memory_mib=draw(st.integers(0, 100)), gpus=cards)
        groups = draw(st.sampled_from([(), ("g",)]))
        site = draw(st.sampled_from(["x", "y"]))
        events.append(NodeAdded(0, name, Endpoint(name), "k", groups=groups, site=site))
        events.append(NodeUp(0, name, "/r", facts))
        if draw(st.integers(0, 5)) == 0:
            events.append(NodeDrained(0, name, "why"))
    for _ in range(draw(st.integers(0, 2))):
        one, other = draw(st.sampled_from(NAMES)), draw(st.sampled_from(NAMES))
        events.append(PeersUnreachable(0, one, other, "", draw(st.sampled_from([5.0, 500.0]))))
    return events


@st.composite
def specs(draw: Any) -> JobSpec:
    least = draw(st.integers(1, 3))
    resources = Resources(
        cpus=draw(st.integers(0, 4)),
        all_cpus=draw(st.integers(0, 5)) == 0,
        memory_mib=draw(st.sampled_from([0, 0, 20, 60])),
        gpus=draw(st.sampled_from([0, 0, 1, 2])),
        gpu_kinds=draw(st.sampled_from([(), ("A",)])),
    )
    return JobSpec(
        name="j",
        script="true",
        min_nodes=least,
        max_nodes=draw(st.integers(least, 4)),
        procs_per_node=draw(st.integers(0, 3)),
        resources=resources,
        priority=draw(st.integers(0, 2)),
        group=draw(st.sampled_from(["", "", "g"])),
        exclude=draw(st.sampled_from([(), ("n1",)])),
    )


@st.composite
def clusters(draw: Any) -> Snapshot:
    """A cluster on which some jobs were started by an earlier plan, and more wait."""
    snapshot = Snapshot()
    for event in draw(nodes()):
        snapshot = apply(snapshot, event)
    snapshot = queued(snapshot, draw(st.lists(specs(), max_size=4)))
    snapshot = started(snapshot)
    return queued(snapshot, draw(st.lists(specs(), max_size=6)))


def queued(snapshot: Snapshot, wanted: list[JobSpec]) -> Snapshot:
    for spec in wanted:
        number = snapshot.next_number
        array = (0, 1) if number % 3 == 0 else ()
        snapshot = apply(snapshot, JobSubmitted(float(number), str(number), number, spec, "u", 1, array))
    return snapshot


def started(snapshot: Snapshot) -> Snapshot:
    for start in plan(snapshot, 100.0).starts:
        snapshot = apply(snapshot, JobPlaced(100.0, start.job_id, 1, start.allocation))
    return snapshot


@settings(max_examples=120, deadline=None)
@given(clusters())
def test_nothing_is_held_twice_and_nothing_is_more_than_the_node_has(snapshot: Snapshot) -> None:
    after = started(snapshot)
    for name, held in after.held.items():
        node = after.nodes[name]
        cpus = [cpu for share in held.values() for cpu in sorted(set(share.cpus))]
        gpus = [gpu for share in held.values() for gpu in sorted(set(share.gpus))]
        assert len(cpus) == len(set(cpus)) and set(cpus) <= set(node.usable_cpus)
        assert len(gpus) == len(set(gpus)) and set(gpus) <= {gpu.index for gpu in node.facts.gpus if gpu.healthy}
        assert sum(share.memory_mib for share in held.values()) <= node.usable_memory_mib or not any(
            share.memory_mib for share in held.values()
        )


@settings(max_examples=120, deadline=None)
@given(clusters())
def test_gangs_are_whole_and_as_asked(snapshot: Snapshot) -> None:
    for start in plan(snapshot, 100.0).starts:
        spec, allocation = snapshot.jobs[start.job_id].spec, start.allocation
        assert spec.min_nodes <= len(allocation.shares) <= spec.max_nodes
        assert len(set(allocation.nodes)) == len(allocation.nodes)
        assert [slot.rank for share in allocation.shares for slot in share.ranks] == list(range(allocation.world_size))
        for share in allocation.shares:
            node = snapshot.nodes[share.node]
            assert node.schedulable and node.id not in spec.exclude and (not spec.group or spec.group in node.groups)
            assert all(slot.cpus for slot in share.ranks)
            assert len(set(share.gpus)) == spec.resources.gpus
        apart = {frozenset(pair) for pair, until in snapshot.unreachable.items() if until > 100.0}
        pairs = {frozenset((a, b)) for a in allocation.nodes for b in allocation.nodes if a != b}
        assert not apart & pairs


@settings(max_examples=120, deadline=None)
@given(clusters())
def test_under_fifo_nobody_overtakes_a_job_that_could_use_the_same_node(snapshot: Snapshot) -> None:
    decided = plan(snapshot, 100.0, Rules(policy="fifo"))
    for start, waiting in overtaken(snapshot, decided):
        told = explain(snapshot, 100.0, waiting)
        assert told is not None and told.when_idle is None
        alone = snapshot.jobs[waiting].spec
        only = JobSpec("j", "true", procs_per_node=alone.procs_per_node, resources=alone.resources)
        for node in start.allocation.nodes:
            excluded = node in alone.exclude or (alone.group and alone.group not in snapshot.nodes[node].groups)
            here = dry_run(snapshot, JobSpec(**{**_fields(only), "nodelist": (node,)}), 100.0, idle=True)
            assert excluded or not isinstance(here, Placement)


@settings(max_examples=120, deadline=None)
@given(clusters())
def test_nobody_starts_on_what_is_kept_for_a_job_before_it(snapshot: Snapshot) -> None:
    """No job here says how long it takes, so whoever waits keeps its nodes until nobody knows when."""
    decided = plan(snapshot, 100.0)
    kept = {one.job_id: set(one.nodes) for one in decided.reservations}
    for start, waiting in overtaken(snapshot, decided):
        assert not kept.get(waiting, set()) & set(start.allocation.nodes)


def overtaken(snapshot: Snapshot, decided: Plan) -> list[tuple[Start, str]]:
    """Each start with every job that came before it, could run here some day, and waits."""
    places = {job.id: place for place, job in enumerate(snapshot.queue())}
    return [
        (start, waiting)
        for start in decided.starts
        for waiting in decided.waiting
        if places[waiting] < places[start.job_id] and waiting not in decided.impossible
    ]


def _fields(spec: JobSpec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in spec.__dataclass_fields__}


@settings(max_examples=100, deadline=None)
@given(clusters())
def test_the_same_question_gets_the_same_answer_and_every_job_gets_one(snapshot: Snapshot) -> None:
    decided = plan(snapshot, 100.0)
    assert plan(snapshot, 100.0) == decided
    answered = [start.job_id for start in decided.starts] + list(decided.waiting) + [job for job, _ in decided.dead]
    assert sorted(answered) == sorted(snapshot.pending)


@settings(max_examples=100, deadline=None)
@given(clusters())
def test_planning_again_after_the_starts_starts_nothing_more(snapshot: Snapshot) -> None:
    assert plan(started(snapshot), 100.0).starts == ()
