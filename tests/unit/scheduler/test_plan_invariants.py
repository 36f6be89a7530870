"""What holds for any cluster, queue and policy; and beside each property a planted defect that it finds."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_plan_properties import nodes, specs

from beowulf.model.apply import apply
from beowulf.model.event import JobPlaced, JobSubmitted, NodeAdded, NodeUp
from beowulf.model.job import JobSpec, Resources
from beowulf.model.node import Endpoint, Facts
from beowulf.model.rules import POLICY_NAMES, Maintenance, Rules
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler import Plan, plan, planning
from beowulf.scheduler.board import Board
from beowulf.scheduler.claims import Views
from beowulf.scheduler.gang import Gang

NOW = 100.0
QUICK = settings(settings.get_profile("planted"), max_examples=100)


@st.composite
def limited(draw: Any) -> JobSpec:
    return replace(draw(specs()), max_duration_s=draw(st.sampled_from([0.0, 20.0, 60.0, 60.0, 300.0])))


@st.composite
def clusters(draw: Any) -> Snapshot:
    """Some jobs run, started at two moments; more wait."""
    snapshot = Snapshot()
    for event in draw(nodes()):
        snapshot = apply(snapshot, event)
    for at, most in ((20.0, 3), (60.0, 3), (NOW, 8)):
        for spec in draw(st.lists(limited(), max_size=most)):
            number, owner = snapshot.next_number, draw(st.sampled_from(["a", "b"]))
            snapshot = apply(snapshot, JobSubmitted(at, str(number), number, spec, owner, 1))
        if at < NOW:
            snapshot = placed(snapshot, plan(snapshot, at, Rules("easy")), at)
    return snapshot


@st.composite
def tight(draw: Any) -> Snapshot:
    """A few nodes that are alike, limits that differ, and more jobs than there is room for: promises get in the way."""
    snapshot = Snapshot()
    cpus = draw(st.integers(1, 4))
    for number in range(draw(st.integers(2, 4))):
        facts = Facts(cpus=tuple(range(cpus)), memory_mib=100)
        snapshot = apply(snapshot, NodeAdded(0, f"n{number}", Endpoint(f"n{number}"), "k"))
        snapshot = apply(snapshot, NodeUp(0, f"n{number}", "/r", facts))
    for at, least, most in ((20.0, 1, 3), (60.0, 1, 3), (NOW, 3, 9)):
        for _ in range(draw(st.integers(least, most))):
            number, wide = snapshot.next_number, draw(st.integers(1, 3))
            memory = draw(st.sampled_from([0, 0, 30, 60]))
            resources = Resources(cpus=draw(st.integers(1, cpus)), memory_mib=memory)
            limit = draw(st.sampled_from([0.0, 20.0, 60.0, 100.0, 300.0, 300.0]))
            spec = JobSpec("j", "true", min_nodes=wide, max_nodes=wide, resources=resources, max_duration_s=limit)
            snapshot = apply(snapshot, JobSubmitted(at, str(number), number, spec, draw(st.sampled_from("ab")), 1))
        if at < NOW:
            snapshot = placed(snapshot, plan(snapshot, at, Rules("easy")), at)
    return snapshot


@st.composite
def rules(draw: Any) -> Rules:
    repairs = draw(st.lists(st.sampled_from([(90.0, 200.0), (150.0, 400.0)]), max_size=1))
    maintenance = tuple(Maintenance(("n1", "n2"), start, end) for start, end in repairs)
    return Rules(draw(st.sampled_from(POLICY_NAMES)), depth=draw(st.sampled_from([0, 1, 4])), maintenance=maintenance)


def placed(snapshot: Snapshot, decided: Plan, at: float) -> Snapshot:
    for start in decided.starts:
        attempt = len(snapshot.jobs[start.job_id].attempts) + 1
        snapshot = apply(snapshot, JobPlaced(at, start.job_id, attempt, start.allocation))
    return snapshot


@QUICK
@given(clusters(), rules())
def no_device_is_held_twice(snapshot: Snapshot, chosen: Rules) -> None:
    after = placed(snapshot, plan(snapshot, NOW, chosen), NOW)
    for name, held in after.held.items():
        node = after.nodes[name]
        cpus = [cpu for share in held.values() for cpu in sorted(set(share.cpus))]
        gpus = [gpu for share in held.values() for gpu in sorted(set(share.gpus))]
        assert len(cpus) == len(set(cpus)) and set(cpus) <= set(node.usable_cpus)
        assert len(gpus) == len(set(gpus)) and set(gpus) <= {gpu.index for gpu in node.facts.gpus if gpu.healthy}
        wanted = sum(share.memory_mib for share in held.values())
        assert wanted <= node.usable_memory_mib or not wanted


@QUICK
@given(st.one_of(tight(), clusters()), rules())
def gangs_are_whole_or_do_not_start(snapshot: Snapshot, chosen: Rules) -> None:
    decided = plan(snapshot, NOW, chosen)
    for start in decided.starts:
        spec = snapshot.jobs[start.job_id].spec
        assert spec.min_nodes <= len(set(start.allocation.nodes)) == len(start.allocation.shares) <= spec.max_nodes
        assert len({snapshot.nodes[node].site for node in start.allocation.nodes}) == 1
    answered = [start.job_id for start in decided.starts] + list(decided.waiting) + [job for job, _ in decided.dead]
    assert sorted(answered) == sorted(snapshot.pending)
    assert len(decided.waiting) == len(dict(decided.waiting))


@QUICK
@given(st.one_of(tight(), tight(), clusters()), rules())
def no_reservation_is_delayed_by_a_lower_start(snapshot: Snapshot, chosen: Rules) -> None:
    before = plan(snapshot, NOW, chosen)
    after = {one.job_id: one.at for one in plan(placed(snapshot, before, NOW), NOW, chosen).reservations}
    for one in before.reservations:
        assert after[one.job_id] <= one.at, (one, after)


@QUICK
@given(st.one_of(tight(), clusters()), rules())
def the_same_question_gets_the_same_answer(snapshot: Snapshot, chosen: Rules) -> None:
    assert plan(snapshot, NOW, chosen) == plan(snapshot, NOW, chosen)


def takes_nothing(self: Views, tag: str, allocation: Any, places: Any) -> None:
    return


def half_a_gang(request: Any, offers: list[Any], apart: Any) -> Gang | None:
    from beowulf.scheduler.gang import gather

    return gather(replace(request, min_nodes=max(1, request.min_nodes - 1)), offers, apart)


def sees_no_claim(self: Views, end: float) -> Board:
    return self.bare


LUCK = random.Random(1)


def in_any_order(self: Board, *asked: Any, honest: Any = Board.offers) -> Any:
    return [replace(offer, left=(LUCK.randrange(9), 0, 0)) for offer in honest(self, *asked)]


PROPERTIES: list[tuple[Callable[[], None], Any, str, Any]] = [
    (no_device_is_held_twice, Views, "take", takes_nothing),
    (gangs_are_whole_or_do_not_start, planning, "gather", half_a_gang),
    (no_reservation_is_delayed_by_a_lower_start, Views, "until", sees_no_claim),
    (the_same_question_gets_the_same_answer, Board, "offers", in_any_order),
]
NAMES = [one[0].__name__ for one in PROPERTIES]


@pytest.mark.parametrize("holds", [one[0] for one in PROPERTIES], ids=NAMES)
def test_it_holds(holds: Callable[[], None]) -> None:
    holds()


@pytest.mark.parametrize(("holds", "where", "name", "defect"), PROPERTIES, ids=NAMES)
def test_a_planted_defect_is_found(
    holds: Callable[[], None], where: Any, name: str, defect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, name, defect)
    with pytest.raises((AssertionError, ExceptionGroup)):
        holds()
