"""Several small jobs on one GPU; and beside each property a planted defect that it finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_cluster import Cluster, gpus
from test_plan_invariants import QUICK, placed

from beowulf.model.apply import apply
from beowulf.model.event import JobEnded, JobSubmitted, NodeAdded, NodeUp
from beowulf.model.job import JobSpec, Resources, Result
from beowulf.model.node import Endpoint, Facts, Gpu
from beowulf.model.rules import Quota, Rules
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler import explain, parts, plan, replan, room
from beowulf.scheduler.claims import Views
from beowulf.scheduler.parts import Part

NOW = 100.0
HALF = Resources(gpus=1, gpu_fraction=0.5)
SIX_GB = Resources(gpus=1, gpu_part_mib=6144)
WHOLE = Resources(gpus=1)


def one_gpu(**how: Any) -> Cluster:
    cluster = Cluster(how.pop("rules", None))
    cluster.node("n1", cpus=8, gpus=gpus(1), **{"share_gpus": 4, **how})
    return cluster


def starts(cluster: Cluster, *wanted: tuple[Resources, str]) -> list[bool]:
    jobs = [cluster.submit(owner=owner, resources=resources) for resources, owner in wanted]
    started = cluster.run()
    return [job in started for job in jobs]


def test_jobs_share_a_gpu_as_long_as_its_memory_holds() -> None:
    cluster = one_gpu()
    assert starts(cluster, (HALF, "u"), (SIX_GB, "u"), (SIX_GB, "u"), (SIX_GB, "u")) == [True, True, True, False]
    shares = list(cluster.snapshot.held["n1"].values())
    assert {share.gpus for share in shares} == {(0,)}
    assert sorted(share.gpu_mib for share in shares) == [6144, 6144, 12288]
    assert len({cpu for share in shares for cpu in share.cpus}) == 3  # threads are not shared
    assert cluster.why("4").sentence == "needs 6 GiB of 1 GPU, and none has so much left for it"


def test_it_starts_once_a_part_is_free_again_and_a_whole_gpu_once_all_are() -> None:
    cluster = one_gpu()
    assert starts(cluster, (HALF, "u"), (HALF, "u"), (HALF, "u"), (WHOLE, "u")) == [True, True, False, False]
    cluster.end("1")
    assert cluster.tick() == {"3": ("n1",)}
    cluster.end("2")
    assert cluster.tick() == {}
    cluster.end("3")
    assert cluster.tick() == {"4": ("n1",)}


def test_nobody_shares_unasked() -> None:
    assert starts(one_gpu(share_gpus=1), (HALF, "u"), (HALF, "u")) == [True, False]
    assert starts(one_gpu(), (WHOLE, "u"), (HALF, "u")) == [True, False]
    assert starts(one_gpu(share_gpus=2), (SIX_GB, "u"), (SIX_GB, "u"), (SIX_GB, "u")) == [True, True, False]


def test_users_share_only_where_the_owner_allows_it() -> None:
    assert starts(one_gpu(), (HALF, "u"), (HALF, "v")) == [True, False]
    assert starts(one_gpu(share_between_users=True), (HALF, "u"), (HALF, "v")) == [True, True]


def test_a_gpu_in_use_is_joined_before_another_is_touched() -> None:
    cluster = Cluster()
    cluster.node("n1", cpus=8, gpus=gpus(2), share_gpus=4)
    cluster.node("n2", cpus=8, gpus=gpus(1))
    assert starts(cluster, (HALF, "u"), (HALF, "u"), (WHOLE, "u"), (WHOLE, "u")) == [True] * 4
    assert [share.gpus for share in cluster.snapshot.held["n1"].values()].count((0,)) == 2


def test_a_part_counts_as_a_part_of_a_quota() -> None:
    cluster = Cluster(Rules(quotas=(Quota("*", gpus=1),)))
    cluster.node("n1", cpus=8, gpus=gpus(2), share_gpus=4)
    assert starts(cluster, (HALF, "u"), (HALF, "u"), (SIX_GB, "u")) == [True, True, False]
    assert "1 are in use" in cluster.why("3").sentence


def test_a_job_waits_for_others_to_go_and_blocks_nobody() -> None:
    cluster = Cluster()
    cards = (Gpu(0, "RTX3090", "nvidia", "", 24576, foreign="used by python3 (pid 4242 of bob)"),)
    cluster.node("n1", cpus=4, gpus=cards)
    assert starts(cluster, (WHOLE, "u"), (Resources(), "u")) == [False, True]
    told = explain(cluster.snapshot, cluster.now, "1")
    assert told is not None and told.reason is not None
    who = "GPU 0 is used by python3 (pid 4242 of bob)"
    wish = "needs a node with 1 thread and 1 GPU; none is free of others; would do: n1"
    assert (told.reason.code, told.reason.sentence) == ("ReqNodeNotAvail", f"{wish} ({who})")
    assert [limit.circumstance for limit in told.limits] == ["processes of others"]
    assert dict(told.nodes)["n1"] == f"needs 1 GPU, 0 free; {who}"


def test_threads_that_others_keep_busy_are_not_given_away() -> None:
    cluster = Cluster()
    cluster.node("n1", cpus=4)
    node = cluster.snapshot.nodes["n1"]
    facts = replace(node.facts, foreign_cpus=(2, 3), foreign="2 threads used by make (pid 900 of bob)")
    cluster.see(NodeUp(cluster.now, "n1", "/r", facts))
    assert starts(cluster, (Resources(cpus=2), "u"), (Resources(cpus=1), "u")) == [True, False]
    assert set(cluster.snapshot.held["n1"]["1.1"].cpus) == {0, 1}
    assert cluster.why("2").sentence == "needs 1 thread, 0 free; 2 threads used by make (pid 900 of bob)"


KINDS = st.sampled_from([("A", 24_000), ("B", 8_000)])


@st.composite
def sharing(draw: Any) -> Snapshot:
    """Nodes that share or do not; jobs that take parts, whole GPUs or none, some of them running."""
    snapshot = Snapshot()
    for number in range(draw(st.integers(1, 3))):
        foreign = st.sampled_from(["", "", "", "used by python3 (pid 7 of bob)"])
        cards = tuple(
            Gpu(index, kind, "nvidia", "", mib, foreign=draw(foreign))
            for index, (kind, mib) in enumerate(draw(st.lists(KINDS, max_size=2)))
        )
        cpus = tuple(range(draw(st.integers(2, 6))))
        others = cpus[-1:] if draw(st.booleans()) else ()
        facts = Facts(cpus=cpus, memory_mib=100, gpus=cards, foreign_cpus=others)
        most, mixed = draw(st.sampled_from([1, 2, 3, 64])), draw(st.booleans())
        added = NodeAdded(0, f"n{number}", Endpoint(f"n{number}"), "k", share_gpus=most, share_between_users=mixed)
        snapshot = apply(apply(snapshot, added), NodeUp(0, f"n{number}", "/r", facts))
    for at, most in ((20.0, 6), (60.0, 6), (NOW, 8)):
        for _ in range(draw(st.integers(1, most))):
            part, wide = draw(st.sampled_from([0.0, 0.0, 0.3, 0.5, 0.6])), draw(st.integers(1, 2))
            mib = draw(st.sampled_from([4_000, 7_000, 13_000])) if part == 0.3 else 0
            resources = Resources(
                gpus=1 if part else draw(st.integers(0, 2)),
                gpu_fraction=0.0 if mib else part,
                gpu_part_mib=mib,
                gpu_kinds=draw(st.sampled_from([(), (), ("A",)])),
            )
            limit = draw(st.sampled_from([0.0, 20.0, 60.0, 100.0, 300.0]))
            spec = JobSpec("j", "true", min_nodes=wide, max_nodes=wide, resources=resources, max_duration_s=limit)
            number, owner = snapshot.next_number, draw(st.sampled_from("ab"))
            snapshot = apply(snapshot, JobSubmitted(at, str(number), number, spec, owner, 1))
        if at < NOW:
            snapshot = placed(snapshot, plan(snapshot, at, Rules("easy")), at)
    return snapshot


POLICIES = st.sampled_from([Rules("fair"), Rules("fifo"), Rules("easy"), Rules("conservative"), Rules("easy", depth=4)])


def after_a_plan(snapshot: Snapshot, rules: Rules) -> list[tuple[Any, Gpu, list[Any]]]:
    """(node, GPU, [(owner, share)]) of every GPU once the plan was carried out."""
    after = placed(snapshot, plan(snapshot, NOW, rules), NOW)
    return [
        (node, gpu, [(after.jobs[tag.split(".")[0]].owner, share) for tag, share in held if gpu.index in share.gpus])
        for name, node in after.nodes.items()
        for held in [sorted(after.held.get(name, {}).items())]
        for gpu in node.facts.gpus
    ]


@QUICK
@given(sharing(), POLICIES)
def gpu_memory_is_never_oversubscribed(snapshot: Snapshot, rules: Rules) -> None:
    for _, gpu, users in after_a_plan(snapshot, rules):
        assert sum(share.gpu_mib for _, share in users) <= gpu.memory_mib


@QUICK
@given(sharing(), POLICIES)
def no_gpu_serves_two_unless_both_have_a_part(snapshot: Snapshot, rules: Rules) -> None:
    for node, _, users in after_a_plan(snapshot, rules):
        assert len(users) <= node.share_gpus
        assert len(users) <= 1 or all(share.gpu_mib for _, share in users)


@QUICK
@given(sharing(), POLICIES)
def users_share_only_where_they_may(snapshot: Snapshot, rules: Rules) -> None:
    for node, _, users in after_a_plan(snapshot, rules):
        assert node.share_between_users or len({owner for owner, _ in users}) <= 1


@QUICK
@given(sharing(), POLICIES)
def what_others_use_is_left_alone(snapshot: Snapshot, rules: Rules) -> None:
    assert not [users for _, gpu, users in after_a_plan(snapshot, rules) if gpu.foreign and users]
    after = placed(snapshot, plan(snapshot, NOW, rules), NOW)
    for name, held in after.held.items():
        others = after.nodes[name].facts.foreign_cpus
        assert not {cpu for share in held.values() for cpu in share.cpus if cpu in others}


@QUICK
@given(sharing(), POLICIES)
def no_reservation_of_a_part_is_delayed(snapshot: Snapshot, rules: Rules) -> None:
    before = plan(snapshot, NOW, rules)
    after = {one.job_id: one.at for one in plan(placed(snapshot, before, NOW), NOW, rules).reservations}
    for one in before.reservations:
        assert after[one.job_id] <= one.at, (one, after)


@QUICK
@given(sharing(), POLICIES, st.data())
def the_plan_from_what_changed_is_the_plan_from_nothing(snapshot: Snapshot, rules: Rules, data: Any) -> None:
    first, memo = replan(snapshot, NOW, rules, None)
    later = placed(snapshot, first, NOW)
    for job_id in data.draw(st.lists(st.sampled_from(sorted(later.pending) or [""]), unique=True, max_size=2)):
        later = apply(later, JobEnded(NOW, job_id, Result.CANCELLED, "")) if job_id else later
    assert replan(later, NOW + 1, rules, memo)[0] == plan(later, NOW + 1, rules)


def sees_all_of_it(self: Part, mib: int, owner: str) -> Part:
    return Part(self.gpu, self.free_mib, (*self.owners, owner))


def anybody(resources: Any, owner: str, node: Any, part: Part) -> bool:
    return part.free_mib >= parts.part_mib(resources, part.gpu) > 0


def counts_parts_only(cards: Any, indices: Any, mib: int, owner: str, honest: Any = parts.taken) -> Any:
    return honest(cards, indices, mib, owner) if mib else cards


def sees_nobody_else(node: Any) -> Any:
    healthy = tuple(gpu for gpu in node.facts.gpus if gpu.healthy)
    return room.Room(node, node.usable_cpus, healthy, node.usable_memory_mib)


def sees_no_claim(self: Views, end: float) -> Any:
    return self.bare


def leaves_it_out(state: Any, snapshot: Any, nodes: Any, pairs: Any) -> Any:
    return state.free, state.idle


PROPERTIES: list[tuple[Callable[[], None], str, Any]] = [
    (gpu_memory_is_never_oversubscribed, "beowulf.scheduler.parts.Part.less", sees_all_of_it),
    (no_gpu_serves_two_unless_both_have_a_part, "beowulf.scheduler.room.taken", counts_parts_only),
    (users_share_only_where_they_may, "beowulf.scheduler.parts.may_join", anybody),
    (what_others_use_is_left_alone, "beowulf.scheduler.state.empty_room", sees_nobody_else),
    (no_reservation_of_a_part_is_delayed, "beowulf.scheduler.claims.Views.until", sees_no_claim),
    (the_plan_from_what_changed_is_the_plan_from_nothing, "beowulf.scheduler.state._reseated", leaves_it_out),
]
NAMES = [one[0].__name__ for one in PROPERTIES]


@pytest.mark.parametrize("holds", [one[0] for one in PROPERTIES], ids=NAMES)
def test_it_holds(holds: Callable[[], None]) -> None:
    holds()


@pytest.mark.parametrize(("holds", "where", "defect"), PROPERTIES, ids=NAMES)
def test_a_planted_defect_is_found(
    holds: Callable[[], None], where: str, defect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, defect)
    with pytest.raises((AssertionError, ExceptionGroup)):
        holds()


def test_a_quota_is_not_passed_by_parts_of_small_gpus() -> None:
    cluster = Cluster(Rules(quotas=(Quota("*", gpus=1),)))
    cluster.node("n1", cpus=8, gpus=gpus(4, memory=8192), share_gpus=4)
    for _ in range(4):
        cluster.submit(resources=SIX_GB)
    cluster.run()
    assert sum(share.gpu_count for share in cluster.snapshot.held["n1"].values()) <= 1
