"""``why``: every reason, when it starts, and what would start it; each suggestion is carried out."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from small_cluster import Cluster, gpus, lab

from beowulf.model.event import NodeDrained
from beowulf.model.job import Dependency, Resources
from beowulf.model.rules import Maintenance, Quota, Rules
from beowulf.scheduler import explain, handed_in_anew, limits, plan, start_of
from beowulf.scheduler import suggestions as sug


def asked(cluster: Cluster, job: str) -> Any:
    told = explain(cluster.snapshot, cluster.now, job, cluster.rules)
    assert told is not None
    return told


def words(cluster: Cluster, job: str) -> list[str]:
    return [one.words for one in asked(cluster, job).suggestions]


def test_every_reason_is_told_and_each_by_the_plan_itself() -> None:
    repair = Maintenance(("n2",), 0.0, 5000.0, "dust")
    rules = Rules(quotas=(Quota(user="u", jobs=1),), maintenance=(repair,))
    cluster = lab(3, cpus=2, rules=rules)
    first = cluster.submit(nodelist=("n1",), max_duration_s=500)
    cluster.run()
    cluster.see(NodeDrained(cluster.now, "n3", "loud fan"))
    job = cluster.submit(
        min_nodes=3, max_nodes=3, resources=Resources(cpus=2), dependencies=(Dependency("afterok", first),)
    )
    told = {one.circumstance: one.reason.code for one in asked(cluster, job).limits}
    assert told == {
        "its dependencies": "Dependency",
        "quotas": "Quota",
        "maintenance": "ReqNodeNotAvail",
        "nodes that are down, drained or apart": "ReqNodeNotAvail",
        "what runs now": "Resources",
    }


def test_what_only_two_circumstances_do_together_is_told_too() -> None:
    """n2 is free, and promised with n1 to a job that waits; n3 would do in its place, were it not busy."""
    cluster = lab(3, rules=Rules("easy"))
    for name in ("n1", "n3"):
        cluster.submit(nodelist=(name,), resources=Resources(cpus=2), max_duration_s=100)
    cluster.run()
    gang = cluster.submit(nodelist=("n1", "n2"), min_nodes=2, max_nodes=2, resources=Resources(cpus=2))
    (limit,) = asked(cluster, cluster.submit(resources=Resources(cpus=2))).limits
    assert (limit.circumstance, limit.reason.code) == ("what runs now and those who wait", "Priority")
    assert limit.reason.sentence.startswith(f"behind job {gang}")


def test_a_machine_that_is_not_there_is_told_once() -> None:
    cluster = lab(1)
    (limit,) = asked(cluster, cluster.submit(resources=Resources(gpus=4))).limits
    assert (limit.circumstance, limit.reason.code) == ("the machines there are", "BadConstraints")


def test_fewer_nodes_another_accelerator_less_memory_a_limit() -> None:
    cluster = Cluster()
    cluster.node("g1", 8, gpus=gpus(1, "K80"))
    for name in ("n1", "n2", "n3"):
        cluster.node(name, 2, 4096)
    cluster.submit(nodelist=("n3",), resources=Resources(cpus=2), max_duration_s=100)
    cluster.run()
    gang = cluster.submit(min_nodes=4, max_nodes=4, resources=Resources(cpus=2), max_duration_s=10)
    assert words(cluster, gang)[0] == "with 3 nodes instead of 4"
    assert asked(cluster, gang).starts_at == 1101.0
    picky = cluster.submit(resources=Resources(gpus=1, gpu_kinds=("RTX3090",)), priority=1)
    assert words(cluster, picky) == ["without insisting on RTX3090"]
    hungry = cluster.submit(resources=Resources(memory_mib=16384), priority=1)
    assert words(cluster, hungry) == ["with 8 GiB memory per node instead of 16 GiB"]
    long = cluster.submit(nodelist=("n1",))
    assert words(cluster, long)[0] == "with a max_duration of 1m"


def test_two_wishes_where_one_is_not_enough() -> None:
    cluster = Cluster()
    cluster.node("n1", 2, 4096)
    job = cluster.submit(resources=Resources(cpus=4, memory_mib=8192))
    (tip,) = words(cluster, job)
    assert "memory per node" in tip and "thread" in tip


def test_no_time_left_no_suggestion() -> None:
    cluster = lab(1)
    job = cluster.submit(min_nodes=2, max_nodes=2)
    told = explain(cluster.snapshot, cluster.now, job, cluster.rules, lambda: True)
    assert told is not None and told.reason is not None and not told.suggestions and not told.limits


def test_every_wish_and_circumstance_is_an_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """One from outside is used like any other."""
    cluster = lab(1)
    job = cluster.submit(resources=Resources(disk_mib=1), group="elsewhere")
    monkeypatch.setitem(sug.WISHES, "place", lambda spec: [("with any group", replace(spec, group=""))])
    assert words(cluster, job) == ["with any group"]
    monkeypatch.setattr(limits, "CIRCUMSTANCES", {})
    assert asked(cluster, job).limits == ()


def stuck(seed: int) -> tuple[Cluster, str] | None:
    """A random cluster with a job that does not start."""
    chance = random.Random(seed)
    policy = chance.choice(["fair", "easy", "conservative", "fifo", "short"])
    quotas = (Quota(user="*", jobs=chance.randint(2, 9)),) if chance.random() < 0.2 else ()
    cluster = Cluster(Rules(policy, quotas=quotas))
    for number in range(chance.randint(2, 6)):
        cards = gpus(chance.randint(1, 2), chance.choice(["K80", "RTX3090"])) if chance.random() < 0.4 else ()
        cluster.node(f"n{number}", chance.choice([2, 4, 8]), chance.choice([4096, 8192]), cards)
    for _ in range(chance.randint(4, 14)):
        cluster.submit(owner=chance.choice("ab"), **wanted(chance, len(cluster.snapshot.nodes)))
        if chance.random() < 0.5:
            cluster.run()
            cluster.now += chance.randint(0, 30)
    cluster.run()
    waiting = sorted(cluster.plan().waiting, key=int)
    return (cluster, chance.choice(waiting)) if waiting else None


def wanted(chance: random.Random, nodes: int) -> dict[str, Any]:
    wide = chance.randint(1, nodes)
    cards = chance.choice([0, 0, 0, 1, 2])
    resources = Resources(
        cpus=chance.choice([0, 1, 2, 4]),
        memory_mib=chance.choice([0, 0, 2048, 6000]),
        gpus=cards,
        gpu_kinds=chance.choice([(), ("K80",), ("RTX3090",)]) if cards else (),
    )
    limit = chance.choice([0.0, 60.0, 300.0, 1000.0, 1000.0])
    return {"min_nodes": wide, "max_nodes": wide, "resources": resources, "max_duration_s": limit}


def started_by(cluster: Cluster, job: str, at: float) -> bool:
    """Everybody runs to the limit and not a second longer; the plan is made whenever one ends."""
    while True:
        cluster.run()
        if job not in cluster.snapshot.pending:
            return cluster.now <= at
        ends = {
            one: max(attempt.started_at + cluster.snapshot.jobs[one].spec.max_duration_s, cluster.now + 1.0)
            for one in cluster.snapshot.active
            if cluster.snapshot.jobs[one].spec.max_duration_s
            for attempt in cluster.snapshot.jobs[one].attempts[-1:]
        }
        if not ends or min(ends.values()) > at:
            return False
        cluster.now = min(ends.values())
        for one, end in ends.items():
            if end <= cluster.now:
                cluster.end(one)


def test_each_suggestion_in_two_hundred_stuck_queues_starts_the_job_when_it_is_carried_out() -> None:
    seeds, found, tips, times = 0, 0, 0, 0
    while found < 200:
        seeds += 1
        made = stuck(seeds)
        if made is None:
            continue
        found += 1
        cluster, job = made
        told = asked(cluster, job)
        for one in told.suggestions:
            changed, new = handed_in_anew(cluster.snapshot, cluster.snapshot.jobs[job], one.spec, cluster.now)
            assert new in {start.job_id for start in plan(changed, cluster.now, cluster.rules).starts}, (seeds, one)
            tips += 1
        if told.starts_at is not None:
            assert told.starts_at > cluster.now
            assert started_by(cluster, job, told.starts_at), (seeds, job)
            times += 1
    assert tips > 100 and times > 50  # most have one, so the test means something


def test_a_suggestion_that_was_not_planned_would_be_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The defect planted here: the first step of a wish is taken on trust."""
    monkeypatch.setattr(sug.Trial, "starts", lambda self, spec: True)
    with pytest.raises(AssertionError):
        test_each_suggestion_in_two_hundred_stuck_queues_starts_the_job_when_it_is_carried_out()


def test_a_start_is_not_foreseen_where_ends_are_not_known() -> None:
    cluster = lab(1)
    cluster.submit()
    cluster.run()
    job = cluster.submit(resources=Resources(cpus=2))
    assert start_of(cluster.snapshot, cluster.now, job, cluster.rules, lambda: False) is None
