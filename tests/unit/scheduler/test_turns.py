"""Jobs with a deadline that money may be spent on: whose money is due first goes first, and nobody pays before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_cluster import Cluster, lab

from beowulf.model.cloud import Machine, MachineState, Market, Offer
from beowulf.model.job import Burst, Resources
from beowulf.model.market import MarketRules
from beowulf.model.rules import POLICY_NAMES, Rules
from beowulf.scheduler import queue
from beowulf.scheduler.turns import Need, Waiting, in_turn

NOW = 1_790_000_000.0  # 2026-09-21
OFFER = Offer("aws", "us-east-1", "", "c5.large", 2, 4096, hourly_usd=0.085, as_of="2026-09-06", source="test")
HOUR = 3600.0


def full(
    policy: str = "easy", offers: tuple[Offer, ...] = (OFFER,), for_s: float = 30 * HOUR, nodes: int = 1, depth: int = 0
) -> Cluster:
    """A lab of so many nodes, each of which a job holds for so long."""
    cluster = lab(nodes, rules=Rules(policy, market=MarketRules(offers, idle_s=0.0), depth=depth))
    cluster.now = NOW
    for _ in range(nodes):
        cluster.submit(resources=Resources(all_cpus=True), max_duration_s=for_s)
    cluster.run()
    return cluster


def due_in(hours: float, **how: Any) -> dict[str, Any]:
    return {"burst": Burst("auto", deadline_s=hours * HOUR), "max_duration_s": HOUR, **how}


def order(cluster: Cluster) -> list[str]:
    return [job.id for job in queue(cluster.snapshot, cluster.now, cluster.rules)]


@pytest.mark.parametrize("policy", sorted(POLICY_NAMES))
def test_who_has_time_gives_way_to_who_has_none_and_nobody_else_moves(policy: str) -> None:
    cluster = full(policy)
    patient, pressed = cluster.submit(**due_in(20)), cluster.submit(**due_in(8))
    plain = cluster.submit(max_duration_s=HOUR)
    urgent = cluster.submit(**due_in(4))
    first = [patient, pressed] if policy == "fifo" else [pressed, patient]
    assert order(cluster) == [*first, plain, urgent]


def test_nobody_passes_who_is_due() -> None:
    cluster = full()
    due = cluster.submit(**due_in(4))
    cluster.now += 3 * HOUR
    late = cluster.submit(**due_in(0.5))
    assert order(cluster) == [due, late]


def test_nobody_takes_his_promise_from_who_can_no_longer_be_rented_for_in_time() -> None:
    cluster = full(offers=(replace(OFFER, egress_usd_per_gb=0.09),), for_s=2 * HOUR)
    promised = cluster.submit(resources=Resources(all_cpus=True), **due_in(3.02))
    cluster.now = NOW + 1.99 * HOUR  # too late for a machine, but the node is free again in time
    dearer = Burst("auto", deadline_s=1.5 * HOUR, results_mib=5000)
    other = cluster.submit(burst=dearer, resources=Resources(all_cpus=True), max_duration_s=HOUR)
    assert order(cluster) == [promised, other]
    assert [one.job_id for one in cluster.plan().grow] == []


@pytest.mark.parametrize(
    ("policy", "depth", "rented"), [("easy", 0, 0), ("fair", 0, 0), ("easy", 1, 1), ("easy", 2, 0)]
)
def test_whoever_is_promised_a_start_in_time_is_not_rented_for(policy: str, depth: int, rented: int) -> None:
    cluster = full(policy, for_s=2 * HOUR, nodes=2, depth=depth)
    jobs = [cluster.submit(resources=Resources(all_cpus=True), **due_in(3.05)) for _ in range(2)]
    cluster.now = NOW + 1.95 * HOUR  # a machine has to be ordered now, or never
    made = cluster.plan()
    assert [one.job_id for one in made.grow] == jobs[2 - rented :]
    assert len(made.reservations) == 2 - rented


def test_more_reservations_are_given_only_while_a_deadline_may_cost_money() -> None:
    for offers, how in (((), due_in(3.05)), ((OFFER,), {"max_duration_s": HOUR}), ((OFFER,), due_in(0))):
        cluster = full(offers=offers, for_s=2 * HOUR, nodes=2)
        for _ in range(2):
            cluster.submit(resources=Resources(all_cpus=True), **how)
        assert len(cluster.plan().reservations) == 1


def test_an_order_by_deadlines_needs_something_to_save() -> None:
    for how in ({"offers": ()}, {}):
        cluster = full(**how)
        first = cluster.submit(**due_in(20))
        others = {} if how else {"project": "another"}  # whose money it is not
        second = cluster.submit(**due_in(8, **others))
        assert order(cluster) == [first, second]


@pytest.mark.parametrize(("hours", "cheap_first"), [(3.0, True), (2.0, False)])
def test_who_spares_the_least_money_goes_last_where_not_all_can_be_done_in_time(
    hours: float, cheap_first: bool
) -> None:
    cluster = full(offers=(replace(OFFER, egress_usd_per_gb=0.09),))

    def bringing(mib: int, deadline_h: float) -> str:
        return cluster.submit(burst=Burst("auto", deadline_s=deadline_h * HOUR, results_mib=mib), max_duration_s=HOUR)

    dear, cheap, dearer = bringing(5000, hours), bringing(100, 1.1), bringing(5000, hours)
    assert order(cluster) == ([cheap, dear, dearer] if cheap_first else [dear, dearer, cheap])


def test_whoever_cannot_be_rented_for_keeps_his_turn() -> None:
    cluster = full(offers=(replace(OFFER, egress_usd_per_gb=0.09),))
    how = {"max_duration_s": HOUR}
    first = cluster.submit(burst=Burst("auto", deadline_s=1.1 * HOUR), resources=Resources(memory_mib=6000), **how)
    others = [cluster.submit(burst=Burst("auto", deadline_s=1.4 * HOUR, results_mib=5000), **how) for _ in range(2)]
    assert order(cluster) == [first, *others]


def waiting(jobs: list[tuple[float, float, float]]) -> list[Waiting]:
    return [
        Waiting((0, False, 0.0, 0.0, number, 0), due, (0.0, number, 0, str(number)), Need(run, run, 1, usd))
        for number, (due, run, usd) in enumerate(jobs)
    ]


def ends_late(order: Sequence[Waiting]) -> list[Waiting]:
    """One after the other, each with the whole lab of one thread; who would start too late is left out."""
    at, found = 0.0, []
    for one in order:
        if at > one.due_at:
            found.append(one)
        else:
            at += one.need.run_s
    return found


dues = st.integers(0, 5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(dues, st.just(1.0), st.integers(1, 9)), max_size=6))
def test_no_order_of_jobs_of_one_size_saves_more_money(jobs: list[tuple[float, float, float]]) -> None:
    asked = waiting(jobs)
    dealt = in_turn(asked, 0.0, 1)
    paid = [sum(one.need.usd for one in ends_late(order)) for order in permutations(asked)]
    assert sum(one.need.usd for one in ends_late(dealt)) == min(paid)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9), st.integers(1, 50)), max_size=8))
def test_where_all_can_be_done_in_time_it_goes_by_when_money_is_due(jobs: list[tuple[float, float, float]]) -> None:
    asked = waiting(jobs)
    dealt = in_turn(asked, 0.0, 1)
    assert sorted(one.ticket for one in dealt) == sorted(one.ticket for one in asked)
    by_due = sorted(asked, key=lambda one: (one.due_at, one.place))
    assert dealt == by_due or ends_late(by_due)


def test_who_is_too_wide_for_the_lab_moves_nobody() -> None:
    first, wide, last = waiting([(1.0, 9.0, 1.0), (2.0, 1.0, 50.0), (20.0, 1.0, 2.0)])
    wide = replace(wide, need=replace(wide.need, threads=2))
    assert in_turn([last, wide, first], 0.0, 1) == [first, wide, last]


deadlines = st.lists(st.tuples(st.sampled_from([0.0, 2.0, 5.0, 9.0, 20.0]), st.integers(0, 1)), max_size=7)


@settings(max_examples=60, deadline=None)
@given(deadlines, st.sampled_from([name for name in POLICY_NAMES if name != "fifo"]))
def test_places_are_only_exchanged(wanted: list[tuple[float, int]], policy: str) -> None:
    cluster = full(policy)
    plain = Cluster(replace(cluster.rules, market=MarketRules()))
    plain.snapshot, plain.now = cluster.snapshot, cluster.now
    for hours, priority in wanted:
        for one in (cluster, plain):
            one.submit(**due_in(hours, priority=priority))
    jobs = cluster.snapshot.jobs
    before, after = order(plain), order(cluster)
    assert sorted(before) == sorted(after)
    for old, new in zip(before, after, strict=True):
        assert old == new or (jobs[old].spec.burst.deadline_s and jobs[new].spec.burst.deadline_s)
        assert jobs[old].spec.priority == jobs[new].spec.priority
    for job_id in before:
        if not jobs[job_id].spec.burst.deadline_s:
            assert set(before[: before.index(job_id)]) == set(after[: after.index(job_id)])


class TestAMachineThatIdles:
    def idling(self) -> Cluster:
        cluster = full()
        machine = Machine(
            "aws-1", 1, "t", OFFER, Market.ON_DEMAND, "", "p", NOW, 900.0, MachineState.READY, ready_at=NOW
        )
        cluster.snapshot = replace(cluster.snapshot, machines=cluster.snapshot.machines.set("aws-1", machine))
        cluster.node("aws-1", site="aws:us-east-1")
        return cluster

    def test_is_for_who_has_no_deadline_to_wait_for(self) -> None:
        cluster = self.idling()
        job = cluster.submit(burst=Burst("auto"), max_duration_s=HOUR)
        assert cluster.tick() == {job: ("aws-1",)}

    def test_is_not_for_who_may_wait_until_money_is_due_anyway(self) -> None:
        cluster = self.idling()
        cluster.submit(**due_in(8))
        assert cluster.tick() == {}
        due_at = cluster.plan().again_at
        assert NOW + 6 * HOUR < due_at < NOW + 7 * HOUR

    def test_takes_who_no_node_of_the_lab_could_ever(self) -> None:
        cluster = self.idling()
        job = cluster.submit(**due_in(8, site="aws:us-east-1"))
        assert cluster.tick() == {job: ("aws-1",)}
