"""The scheduler's behaviour, told as stories about small clusters."""

from __future__ import annotations

from dataclasses import replace

import pytest
from immutables import Map
from small_cluster import Cluster, gpus, lab

from beowulf.model.allocation import RankSlot, Share
from beowulf.model.event import (
    JobEnded,
    NodeDown,
    NodeDrained,
    NodeRemoved,
    PeersUnreachable,
    ShareCleared,
)
from beowulf.model.job import Dependency, Environment, JobSpec, Resources, Result
from beowulf.scheduler import Placement, Refusal, dry_run, explain, plan, replan
from beowulf.scheduler.picking import pick_cpus, split


def test_a_gang_starts_whole_with_its_ranks_in_node_order() -> None:
    cluster = lab(10)
    job = cluster.submit(min_nodes=10, max_nodes=10, procs_per_node=2)
    (start,) = plan(cluster.snapshot, cluster.now).starts
    assert start.job_id == job
    assert start.allocation.nodes == tuple(f"n{n}" for n in range(1, 11))
    assert [slot.rank for share in start.allocation.shares for slot in share.ranks] == list(range(20))
    assert start.allocation.shares[1].ranks == (RankSlot(2, 0, (0,)), RankSlot(3, 1, (1,)))


def test_a_gang_that_does_not_fit_waits_whole_and_says_who_has_room() -> None:
    cluster = lab(4)
    one = cluster.submit(min_nodes=2, max_nodes=2, nodelist=("n1", "n2"), resources=Resources(cpus=1))
    cluster.tick()
    four = cluster.submit(min_nodes=4, max_nodes=4, resources=Resources(cpus=2))
    assert cluster.tick() == {}
    reason = cluster.why(four)
    assert reason == Refusal("Resources", "needs 4 nodes with 2 free threads each; n3 and n4 have them")
    cluster.end(one)
    assert cluster.tick() == {four: ("n1", "n2", "n3", "n4")}


def test_first_come_first_served_within_a_priority() -> None:
    cluster = lab(2, cpus=1)
    first = cluster.submit()
    cluster.tick()
    gang = cluster.submit(min_nodes=2, max_nodes=2)
    small = cluster.submit()
    assert cluster.tick() == {}
    assert cluster.why(small) == Refusal("Priority", f"behind job {gang}, which waits for the same nodes")
    urgent = cluster.submit(priority=5)
    assert cluster.tick() == {urgent: ("n2",)}
    cluster.end(first)
    cluster.end(urgent)
    assert cluster.tick() == {gang: ("n1", "n2")}


def test_a_waiting_gpu_job_does_not_hold_up_nodes_it_cannot_use() -> None:
    cluster = Cluster()
    cluster.node("g1", gpus=gpus(1))
    cluster.node("c1")
    cluster.submit(resources=Resources(gpus=1))
    cluster.tick()
    waiting = cluster.submit(resources=Resources(gpus=1))
    plain = cluster.submit()
    assert cluster.tick() == {plain: ("c1",)}
    assert cluster.why(waiting).sentence == "needs 1 GPU, 0 free"


def test_impossible_jobs_block_nobody_and_say_why() -> None:
    cluster = lab(2)
    cluster.see(NodeDrained(cluster.now, "n2", "fan is loud"))
    for_two = cluster.submit(min_nodes=2, max_nodes=2)
    for_gpus = cluster.submit(resources=Resources(gpus=4))
    small = cluster.submit()
    assert cluster.tick() == {small: ("n1",)}
    decided = plan(cluster.snapshot, cluster.now)
    assert decided.impossible == (for_two, for_gpus)
    assert decided.waiting[for_two].code == "ReqNodeNotAvail"
    assert "would do: n2 (drained: fan is loud)" in decided.waiting[for_two].sentence
    assert decided.waiting[for_gpus].code == "BadConstraints"
    assert "n1: needs 4 GPUs, has 0" in decided.waiting[for_gpus].sentence


def test_a_node_that_is_down_is_named() -> None:
    cluster = lab(1)
    cluster.see(NodeDown(cluster.now, "n1", "no heartbeat for 15 s"))
    job = cluster.submit()
    assert (
        cluster.why(job).sentence
        == "needs a node with 1 thread; none is up; would do: n1 (down: no heartbeat for 15 s)"
    )


def test_a_kind_of_gpu_that_no_node_has_is_answered_with_those_there_are() -> None:
    cluster = Cluster()
    cluster.node("n1", 4, gpus=gpus(2, "K80"))
    said = cluster.why(cluster.submit(resources=Resources(gpus=1, gpu_kinds=("RTX3900",))))
    assert said.sentence == "needs 1 RTX3900 GPU, has 2 K80"


def test_no_nodes_at_all() -> None:
    cluster = Cluster()
    assert cluster.why(cluster.submit()) == Refusal(
        "ReqNodeNotAvail", "the cluster has no nodes yet: beowulf init adds them"
    )


def test_requests_of_the_past_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beowulf.scheduler.prospects.MOST_KNOWN", 5)
    cluster, memo = lab(1), None
    for memory_mib in range(1, 20):
        job = cluster.submit(resources=Resources(memory_mib=memory_mib))
        _, memo = replan(cluster.snapshot, cluster.now, cluster.rules, memo)
        cluster.see(JobEnded(cluster.now, job, Result.CANCELLED, ""))
    assert memo is not None and 1 <= len(memo.possible) <= 6


def test_as_many_nodes_as_are_free_between_least_and_most() -> None:
    cluster = lab(4, cpus=1)
    cluster.submit(nodelist=("n2",))
    job = cluster.submit(min_nodes=2, max_nodes=8)
    assert cluster.tick()[job] == ("n1", "n3", "n4")


def test_packs_the_fullest_node_that_fits() -> None:
    cluster = Cluster()
    cluster.node("big", 8)
    cluster.node("small", 2)
    assert cluster.tick() == {}
    one, two, three = cluster.submit(), cluster.submit(), cluster.submit()
    assert cluster.tick() == {one: ("small",), two: ("small",), three: ("big",)}


def test_a_gang_stays_on_one_site_even_if_another_has_more_nodes_to_add() -> None:
    cluster = Cluster()
    for name, site in (("a1", "x"), ("a2", "x"), ("b1", "y"), ("b2", "y"), ("b3", "y")):
        cluster.node(name, site=site)
    job = cluster.submit(min_nodes=2, max_nodes=4)
    assert cluster.tick() == {job: ("b1", "b2", "b3")}


def test_a_node_that_came_and_went_between_two_plans_is_forgotten() -> None:
    cluster = lab(2)
    job = cluster.submit(nodelist=("n9",))
    _, memo = replan(cluster.snapshot, cluster.now, cluster.rules, None)
    cluster.node("n9")
    cluster.see(NodeRemoved(cluster.now, "n9"))
    decided, _ = replan(cluster.snapshot, cluster.now, cluster.rules, memo)
    assert decided.impossible == (job,)


def test_no_gang_is_spread_over_sites() -> None:
    cluster = Cluster()
    for name, site in (("a1", "x"), ("b1", "y"), ("b2", "y")):
        cluster.node(name, site=site)
    three, two = cluster.submit(min_nodes=3, max_nodes=3), cluster.submit(min_nodes=2, max_nodes=2)
    assert cluster.tick() == {two: ("b1", "b2")}
    assert cluster.plan().impossible == (three,)
    assert cluster.why(three).sentence == "needs 3 nodes with 1 thread each at one site; x has 1 and y has 2"


def test_a_gang_rather_takes_one_group() -> None:
    cluster = Cluster()
    for name, group in (("n1", "old"), ("n2", "new"), ("n3", "old"), ("n4", "new")):
        cluster.node(name, groups=(group,))
    assert cluster.tick() == {}
    job = cluster.submit(min_nodes=2, max_nodes=2)
    assert cluster.tick() == {job: ("n2", "n4")}


def test_nodelist_exclude_and_group() -> None:
    cluster = Cluster()
    for name in ("n1", "n2", "n3", "n4"):
        cluster.node(name, groups=("g",) if name != "n1" else ())
    one = cluster.submit(group="g", exclude=("n2",))
    two = cluster.submit(nodelist=("n4",))
    assert cluster.tick() == {one: ("n3",), two: ("n4",)}


def test_no_gang_spans_two_nodes_that_do_not_reach_each_other() -> None:
    cluster = lab(3)
    cluster.see(PeersUnreachable(cluster.now, "n1", "n2", "timed out", cluster.now + 60))
    pair = cluster.submit(min_nodes=2, max_nodes=2, resources=Resources(cpus=2))
    triple = cluster.submit(min_nodes=3, max_nodes=3)
    started = cluster.tick()
    assert set(started[pair]) in ({"n1", "n3"}, {"n2", "n3"})
    assert triple not in started
    reason = cluster.why(triple)
    assert reason.sentence == "needs 3 nodes that reach each other; n1 and n2 do not reach each other"
    cluster.end(pair)
    cluster.now += 100
    assert cluster.tick() == {triple: ("n1", "n2", "n3")}


def test_gpus_by_kind_and_memory_and_never_a_sick_one() -> None:
    cluster = Cluster()
    mixed = (*gpus(1, "K80", 11441), *(replace(gpu, index=gpu.index + 1) for gpu in gpus(2)))
    cluster.node("g1", 8, gpus=(replace(mixed[0]), replace(mixed[1], healthy=False), mixed[2]))
    big = cluster.submit(resources=Resources(gpus=1, gpu_memory_mib=16000))
    kind = cluster.submit(resources=Resources(gpus=1, gpu_kinds=("k80",)))
    starts = plan(cluster.snapshot, cluster.now).starts
    assert {start.job_id: start.allocation.shares[0].gpus for start in starts} == {big: (2,), kind: (0,)}


def test_one_rank_per_gpu_and_threads_split_over_them() -> None:
    cluster = Cluster()
    cluster.node("g1", 8, gpus=gpus(2))
    cluster.submit(resources=Resources(gpus=2, cpus=8))
    (start,) = plan(cluster.snapshot, cluster.now).starts
    assert start.allocation.shares[0].ranks == (RankSlot(0, 0, (0, 1, 2, 3), (0,)), RankSlot(1, 1, (4, 5, 6, 7), (1,)))


def test_a_whole_node_is_shared_with_nobody() -> None:
    cluster = lab(1, cpus=4)
    small = cluster.submit()
    cluster.tick()
    whole = cluster.submit(resources=Resources(all_cpus=True))
    assert cluster.tick() == {}
    assert cluster.why(whole).sentence == f"needs the whole node, where job {small} is"
    cluster.end(small)
    assert cluster.tick() == {whole: ("n1",)}
    assert cluster.snapshot.held["n1"][f"{whole}.1"].cpus == (0, 1, 2, 3)


def test_memory_is_counted() -> None:
    cluster = lab(1)
    cluster.submit(resources=Resources(memory_mib=6000))
    second = cluster.submit(resources=Resources(memory_mib=3000))
    cluster.tick()
    assert cluster.why(second).sentence == "needs 2.93 GiB memory, 2.14 GiB free"


def test_a_requeued_job_waits_for_its_own_node_to_be_swept() -> None:
    cluster = lab(1, cpus=4)
    job = cluster.submit()
    cluster.tick()
    cluster.end(job, Result.NODE_FAIL, requeue=True, clear=False)
    assert cluster.tick() == {}
    assert cluster.why(job).sentence.startswith("an earlier attempt of this job was not cleared there yet")
    cluster.see(ShareCleared(cluster.now, job, 1, "n1"))
    assert cluster.tick() == {job: ("n1",)}


def test_dependencies() -> None:
    cluster = lab(4)
    first = cluster.submit()
    cluster.tick()
    ok, bad, anyway = (
        cluster.submit(dependencies=(Dependency(kind, first),)) for kind in ("afterok", "afternotok", "afterany")
    )
    assert cluster.tick() == {}
    assert cluster.why(ok) == Refusal("Dependency", f"waits for job {first} (CONFIGURING), afterok")
    cluster.end(first, Result.FAILED)
    decided = plan(cluster.snapshot, cluster.now)
    assert decided.dead == ((ok, f"afterok:{first} cannot be met: job {first} FAILED"),)
    assert {start.job_id for start in decided.starts} == {bad, anyway}


def test_a_dependency_on_an_array_waits_for_every_task() -> None:
    cluster = lab(2, cpus=1)
    array = cluster.submit(array=3)
    after = cluster.submit(dependencies=(Dependency("afterok", array),))
    for task in list(cluster.tick()):
        cluster.end(task)
    assert cluster.tick() == {f"{array}_2": ("n1",)}
    assert cluster.why(after).sentence == f"waits for 1 task of job {array}, afterok"
    cluster.end(f"{array}_2")
    assert after in cluster.tick()


def test_a_cancelled_job_that_was_depended_on() -> None:
    cluster = lab(1)
    first = cluster.submit(min_nodes=5, max_nodes=5)
    after = cluster.submit(dependencies=(Dependency("afterok", first),))
    cluster.see(JobEnded(cluster.now, first, Result.CANCELLED, ""))
    assert plan(cluster.snapshot, cluster.now).dead[0][0] == after


def test_system_mpi_takes_nodes_of_one_version() -> None:
    cluster = Cluster()
    for name, mpi in (("n1", "Open MPI 4.1.4"), ("n2", ""), ("n3", "Open MPI 4.0.3"), ("n4", "Open MPI 4.1.4")):
        cluster.node(name, mpi=mpi)
    pair = cluster.submit(min_nodes=2, max_nodes=2, environment=Environment(system_mpi=True))
    triple = cluster.submit(min_nodes=3, max_nodes=3, environment=Environment(system_mpi=True))
    assert cluster.tick() == {pair: ("n1", "n4")}
    assert cluster.why(triple).sentence.endswith("unlike versions of MPI")


def test_explain_lists_every_node_and_everybody_ahead() -> None:
    cluster = lab(2, cpus=1)
    running = cluster.submit()
    cluster.tick()
    gang = cluster.submit(min_nodes=2, max_nodes=2)
    last = cluster.submit()
    told = explain(cluster.snapshot, cluster.now, last)
    assert told is not None and told.reason is not None
    assert (told.reason.code, told.ahead) == ("Priority", (gang,))
    assert told.nodes == (("n1", "needs 1 thread, 0 free"), ("n2", "fits"))
    assert told.when_idle is None
    assert explain(cluster.snapshot, cluster.now, running) is None


def test_dry_run_on_the_busy_and_on_the_idle_cluster() -> None:
    cluster = lab(1)
    cluster.submit(resources=Resources(all_cpus=True))
    cluster.tick()
    spec = JobSpec(name="j", script="true", resources=Resources(cpus=2))
    assert dry_run(cluster.snapshot, spec, cluster.now) == Refusal("Resources", "needs 2 threads, 0 free")
    idle = dry_run(cluster.snapshot, spec, cluster.now, idle=True)
    assert isinstance(idle, Placement) and idle.allocation.nodes == ("n1",)
    huge = replace(spec, resources=Resources(cpus=64))
    assert dry_run(cluster.snapshot, huge, cluster.now) == Refusal("BadConstraints", "needs 64 threads, has 2")


def test_contiguous_threads_where_there_are_some() -> None:
    assert pick_cpus((0, 1, 4, 5, 6, 9), 3) == (4, 5, 6)
    assert pick_cpus((0, 1, 4, 5, 6, 9), 2) == (0, 1)
    assert pick_cpus((0, 2, 3, 6), 3) == (0, 2, 3)
    assert split((0, 1, 2, 3, 4), 2) == [(0, 1), (2, 3, 4)]
    assert split((7,), 2) == [(7,), (7,)]


def test_a_job_pinned_to_a_site_waits_for_its_machines() -> None:
    cluster = Cluster()
    cluster.node("a1", site="lab")
    cluster.node("b1", site="aws:us-east-1")
    there, lab_only = cluster.submit(site="aws"), cluster.submit(site="lab")
    assert cluster.tick() == {there: ("b1",), lab_only: ("a1",)}
    other = cluster.submit(site="gcp:us-east1")
    cluster.tick()
    assert "a1: at lab, and the job is for gcp:us-east1" in cluster.why(other).sentence


def test_a_gpu_too_old_for_the_job_is_left_alone() -> None:
    cluster = Cluster()
    old, new = (replace(gpus(1)[0], compute_capability=version) for version in ("6.1", "10.0"))
    for name, gpu in (("n1", old), ("n2", new), ("n3", replace(new, compute_capability=""))):
        cluster.node(name, gpus=(gpu,))
    first, second = (cluster.submit(resources=Resources(gpus=1, gpu_capability="7.0")) for _ in range(2))
    anywhere = cluster.submit(resources=Resources(gpus=1))
    assert cluster.tick() == {first: ("n2",), anywhere: ("n1",)}
    assert "of compute capability 7.0" in cluster.why(second).sentence


def test_neighbours_begin_at_opposite_ends_since_they_may_be_one_machine() -> None:
    cluster = lab(2, cpus=4)
    cluster.submit(min_nodes=2, max_nodes=2, resources=Resources(cpus=1))
    (start,) = plan(cluster.snapshot, cluster.now).starts
    assert {share.node: share.cpus for share in start.allocation.shares} == {"n1": (3,), "n2": (0,)}


def test_shares_of_other_jobs_are_left_alone() -> None:
    cluster = lab(1, cpus=4)
    held = Map({"9.1": Share("n1", (RankSlot(0, 0, (0, 2)),), 0)})
    cluster.snapshot = replace(cluster.snapshot, held=Map({"n1": held}))
    cluster.submit(resources=Resources(cpus=2))
    (start,) = plan(cluster.snapshot, cluster.now).starts
    assert start.allocation.shares[0].cpus == (1, 3)


def test_a_node_that_came_and_went_between_two_plans_is_nothing_new() -> None:
    cluster = lab(1, cpus=1)
    job = cluster.submit()
    decided, memo = replan(cluster.snapshot, cluster.now, cluster.rules, None)
    cluster.node("brief")
    cluster.see(NodeRemoved(cluster.now, "brief"))
    again, _ = replan(cluster.snapshot, cluster.now, cluster.rules, memo)
    assert again == decided and [start.job_id for start in again.starts] == [job]
