"""Which kind of device a job gets, told in small stories."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from small_cluster import Cluster, gpus

from beowulf.model.event import NodeProfiled, PaceMeasured
from beowulf.model.job import Resources
from beowulf.model.market import Accelerator, MarketRules
from beowulf.model.node import DeviceSpeed, Profile
from beowulf.model.rules import Rules
from beowulf.scheduler import plan, replan
from beowulf.scheduler.throughput import believed, mixed_pace, pace

ONE_GPU = Resources(gpus=1)
TOLD = {"bert": {("OLD", 1): 1.0, ("NEW", 1): 4.0}, "rnn": {("OLD", 1): 2.0, ("NEW", 1): 2.5}}


def unequal(placement: str = "makespan", old: int = 1, new: int = 1, **how: Any) -> Cluster:
    cluster = Cluster(Rules("easy", placement=placement, **{"told": TOLD, **how}))
    for kind, number in (("OLD", old), ("NEW", new)):
        for index in range(1, number + 1):
            cluster.node(f"{kind.lower()}{index}", gpus=gpus(1, kind), groups=(kind,))
    return cluster


def bert(cluster: Cluster, steps: int = 400, **spec: Any) -> str:
    return cluster.submit(family="bert", steps=steps, resources=ONE_GPU, **spec)


def test_a_job_rather_waits_for_the_device_on_which_it_is_done_sooner() -> None:
    cluster = unequal()
    first, second, third = (bert(cluster) for _ in range(3))
    assert cluster.run() == {first: ("new1",)}  # 100 s there, 400 s on the other
    assert cluster.why(second).sentence == "OLD is free, but on NEW, free in about 1.67 min, it is better off"
    *_, fifth = (bert(cluster) for _ in range(2))
    assert cluster.run() == {fifth: ("old1",)}, "behind four others it is better off there"
    assert third in cluster.plan().waiting
    cluster.now += 100
    cluster.end(first)
    assert cluster.run() == {second: ("new1",)}


def test_with_fastest_it_takes_what_is_free() -> None:
    cluster = unequal("fastest")
    first, second = bert(cluster), bert(cluster)
    assert cluster.run() == {first: ("new1",), second: ("old1",)}


def test_with_blind_it_takes_whatever_fits() -> None:
    told = {"bert": {("OLD", 1): 4.0, ("NEW", 1): 1.0}}
    for placement, node in (("blind", "new1"), ("makespan", "old1")):
        cluster = unequal(placement, told=told)
        assert cluster.run_of(bert(cluster)) == (node,)


def test_with_fairness_who_can_afford_it_leaves_the_fast_one_to_others() -> None:
    """Four want two devices: with half of one the first would take 356 s, and on the old one by itself it is 200 s."""
    cluster = unequal("fairness")
    first = cluster.submit(family="rnn", steps=400, resources=ONE_GPU)
    second, *_ = (bert(cluster) for _ in range(3))
    assert cluster.run() == {first: ("old1",), second: ("new1",)}


def test_with_cost_it_is_where_the_whole_is_cheapest() -> None:
    cluster = unequal("cost", device_usd={"OLD": 1.0, "NEW": 2.0})
    assert set(cluster.run_of(bert(cluster))) == {"new1"}  # twice the price, four times the pace
    assert set(cluster.run_of(cluster.submit(family="rnn", steps=400, resources=ONE_GPU))) == {"old1"}


def test_a_device_on_which_its_limit_would_end_it_is_not_taken() -> None:
    cluster = unequal()
    bert(cluster, steps=40_000)
    limited = bert(cluster, max_duration_s=300.0)
    assert limited not in cluster.run()


def test_who_outlives_its_estimate_is_not_waited_for_for_ever() -> None:
    cluster = unequal()
    first = bert(cluster)
    assert cluster.run() == {first: ("new1",)}
    cluster.now += 150  # it should have been over 50 s ago: in 50 s, perhaps
    second = bert(cluster)
    assert cluster.run() == {}
    cluster.now += 350  # in 400 s, perhaps, or rather not
    assert cluster.run() == {second: ("old1",)}


def test_what_ranks_report_and_what_was_measured_of_devices_say_the_rest() -> None:
    cluster = unequal("fastest", old=2, new=1, told={})
    for node, kind, gflops in (("old1", "OLD", 100.0), ("old2", "OLD", 100.0), ("new1", "NEW", 300.0)):
        cluster.see(NodeProfiled(cluster.now, node, Profile(1.0, (DeviceSpeed("gpu 0", "torch 2", gflops, 1.0),))))
        assert kind
    first = bert(cluster)
    assert cluster.run() == {first: ("new1",)}, "by speed alone"
    cluster.see(PaceMeasured(cluster.now, first, 1, 2.0))
    cluster.end(first)
    slower = bert(cluster, nodelist=("old1",))
    cluster.run()
    cluster.see(PaceMeasured(cluster.now, slower, 1, 5.0))  # measured, it is the other way round
    assert set(cluster.run_of(bert(cluster))) == {"old2"}


def test_before_anything_was_measured_data_sheets_tell_kinds_apart() -> None:
    """And afterwards what was measured does."""
    sheets = {"OLD": Accelerator(speed=300.0), "NEW": Accelerator(speed=30.0)}
    for known, node in (({}, "new1"), (sheets, "old1")):
        cluster = unequal(told={}, market=MarketRules(accelerators=known))
        assert cluster.run_of(bert(cluster)) == (node,)
    cluster.see(NodeProfiled(cluster.now, "old1", Profile(1.0, (DeviceSpeed("gpu 0", "torch 2", 2.0, 1.0),))))
    cluster.see(NodeProfiled(cluster.now, "new1", Profile(1.0, (DeviceSpeed("gpu 0", "torch 2", 9.0, 1.0),))))
    cluster.end("1")
    assert cluster.run_of(bert(cluster)) == ("new1",)


def test_data_sheets_are_taken_in_proportion_to_what_was_measured() -> None:
    sheets = {"OLD": Accelerator(speed=30.0), "NEW": Accelerator(speed=300.0), "ODD": Accelerator()}
    assert believed({}, {"OLD", "ODD"}, sheets) == {"OLD": 30.0}
    assert believed({"OLD": 90.0}, {"OLD", "NEW"}, sheets) == {"OLD": 90.0, "NEW": 900.0}
    assert believed({"a processor": 5.0}, {"OLD"}, sheets) == {"a processor": 5.0}, "nothing says how they compare"


def test_paces_nobody_saw() -> None:
    points, speeds = {("OLD", 2): 4.0, ("OLD", 8): 0.0}, {"OLD": 10.0, "NEW": 30.0}
    assert pace(points, speeds, "OLD", 4) == pytest.approx(4.0 * 2**0.85)
    assert pace(points, speeds, "OLD", 8) == 0.0
    assert pace(points, speeds, "NEW", 2) == pytest.approx(12.0)
    assert pace(points, speeds, "NEWEST", 2) is None and pace({}, speeds, "OLD", 1) is None


def test_a_gang_mixes_kinds_only_where_a_split_by_speed_gains() -> None:
    alike = {("OLD", 2): 2.0, ("NEW", 2): 3.0, ("OLD", 4): 4.0, ("NEW", 4): 6.0}
    unlike = {("OLD", 2): 2.0, ("NEW", 2): 30.0, ("OLD", 4): 4.0, ("NEW", 4): 50.0}
    assert mixed_pace([4.0, 4.0, 6.0, 6.0]) == pytest.approx(5.0, rel=0.05)
    for told, willing, nodes in ((alike, True, 4), (alike, False, 2), (unlike, True, 2)):
        cluster = unequal(old=2, new=2, told={"bert": told})
        job = bert(cluster, min_nodes=2, max_nodes=4, mix_devices=willing)
        assert len(cluster.run_of(job)) == nodes


def test_a_flaky_node_is_left_to_short_jobs() -> None:
    cluster = unequal("blind", old=3, new=0)
    node = cluster.snapshot.nodes["old1"]
    flaky = replace(node, failures=node.failures.counted(cluster.now))
    cluster.snapshot = replace(cluster.snapshot, nodes=cluster.snapshot.nodes.set("old1", flaky))
    assert cluster.run_of(cluster.submit(min_nodes=2, max_nodes=2, resources=ONE_GPU)) == ("old2", "old3")
    assert cluster.run_of(cluster.submit(max_duration_s=60.0, resources=ONE_GPU)) == ("old1",)


def test_who_stands_behind_another_in_a_line_still_knows_its_steps() -> None:
    cluster = unequal()
    bert(cluster)
    rules, now = cluster.rules, cluster.now
    _, memo = replan(cluster.snapshot, now, rules, None)
    bert(cluster)
    _, memo = replan(cluster.snapshot, cluster.now, rules, memo)
    assert [line.left for line in memo.lines.values()] == [400]
    assert replan(cluster.snapshot, cluster.now, rules, memo)[0] == plan(cluster.snapshot, cluster.now, rules)
