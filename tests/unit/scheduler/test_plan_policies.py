"""Policies as stories: who goes first, who waits for whom, and who makes way."""

from __future__ import annotations

import pytest
from small_cluster import Cluster, gpus, lab

from beowulf.model.event import AttemptEnding
from beowulf.model.job import Resources, Result
from beowulf.model.rules import POLICY_NAMES, Maintenance, Project, Quota, Rules, ServiceClass, Weights
from beowulf.scheduler import POLICIES, Refusal, Reservation, queue
from beowulf.scheduler.usage import dues

EASY = Rules("easy")


def test_every_policy_a_settings_file_may_name_is_in_the_table() -> None:
    assert set(POLICIES) == set(POLICY_NAMES)


def test_a_short_job_is_backfilled_and_a_long_one_is_not() -> None:
    cluster = lab(2, cpus=1, rules=EASY)
    cluster.submit(nodelist=("n1",), max_duration_s=100)
    cluster.run()
    gang = cluster.submit(min_nodes=2, max_nodes=2, max_duration_s=50)
    long = cluster.submit(max_duration_s=200)
    short = cluster.submit(max_duration_s=90)
    assert cluster.run() == {short: ("n2",)}
    assert cluster.plan().reservations == (Reservation(gang, 1101.0, ("n1", "n2")),)
    assert cluster.why(long) == Refusal(
        "Resources", "no node has 1 free thread (n1: needs 1 thread, 0 free; n2: needs 1 thread, 0 free)"
    )


def test_a_long_job_is_backfilled_beside_a_reservation() -> None:
    cluster = lab(4, cpus=1, rules=EASY)
    cluster.submit(nodelist=("n1", "n2"), min_nodes=2, max_nodes=2, max_duration_s=100)
    cluster.run()
    gang = cluster.submit(min_nodes=3, max_nodes=3, max_duration_s=50)
    pair = cluster.submit(min_nodes=2, max_nodes=2, max_duration_s=500)
    single = cluster.submit(max_duration_s=500)
    assert cluster.plan().reservations == (Reservation(gang, 1101.0, ("n1", "n2", "n4")),)
    assert cluster.why(pair) == Refusal("Resources", "needs 2 nodes with 1 free thread each; only n4 has them")
    assert cluster.run() == {single: ("n3",)}  # three of four are enough for the gang


def test_threads_of_one_node_are_reserved_and_the_rest_of_it_is_not() -> None:
    cluster = lab(1, cpus=8, rules=EASY)
    cluster.submit(resources=Resources(cpus=6), max_duration_s=100)
    cluster.run()
    cluster.submit(resources=Resources(cpus=7), max_duration_s=100)
    one, two = cluster.submit(max_duration_s=1000), cluster.submit(max_duration_s=1000)
    assert cluster.run() == {one: ("n1",)}
    assert cluster.why(two).code == "Priority"


def test_memory_is_reserved_too() -> None:
    cluster = lab(1, cpus=8, rules=EASY)
    cluster.submit(resources=Resources(memory_mib=4000), max_duration_s=100)
    cluster.run()
    cluster.submit(resources=Resources(memory_mib=6000), max_duration_s=100)
    large = cluster.submit(resources=Resources(memory_mib=3000), max_duration_s=1000)
    small = cluster.submit(resources=Resources(memory_mib=2000), max_duration_s=1000)
    assert cluster.run() == {small: ("n1",)}
    assert cluster.why(large).code in ("Resources", "Priority")


def test_without_limits_nothing_is_backfilled_where_somebody_waits() -> None:
    cluster = lab(2, cpus=1, rules=EASY)
    cluster.submit(nodelist=("n1",))
    cluster.run()
    gang = cluster.submit(min_nodes=2, max_nodes=2)
    cluster.submit(max_duration_s=1)
    assert cluster.run() == {}
    assert cluster.plan().reservations == (Reservation(gang, float("inf"), ("n2", "n1")),)


def test_conservative_reserves_for_everybody() -> None:
    """With EASY the last job would start on n2 at once: it delays only the second of those that wait."""
    for policy, started in (("easy", True), ("conservative", False)):
        cluster = lab(2, cpus=1, rules=Rules(policy, weights=Weights(fair_share=0, size=0)))
        cluster.submit(nodelist=("n1",), max_duration_s=100)
        cluster.run()
        cluster.submit(nodelist=("n1",), max_duration_s=100)
        gang = cluster.submit(min_nodes=2, max_nodes=2, max_duration_s=100)
        last = cluster.submit(max_duration_s=250, nodelist=("n2",))
        assert cluster.plan().starts == () or started
        assert (last in cluster.run()) == started
        if not started:
            found = {one.job_id: one.at for one in cluster.plan().reservations}
            assert found[gang] == 1201.0 and found[last] == 1301.0


def test_fair_share_puts_the_light_user_first_and_forgets() -> None:
    rules = Rules(weights=Weights(age=1.0, fair_share=2.0), half_life_s=3600.0)
    cluster = lab(1, cpus=1, rules=rules)
    heavy = cluster.submit(owner="heavy", max_duration_s=1000)
    cluster.run()
    cluster.now += 1000
    again = cluster.submit(owner="heavy", max_duration_s=1000)
    light = cluster.submit(owner="light", max_duration_s=1000)
    assert [job.id for job in queue(cluster.snapshot, cluster.now, rules)] == [light, again]
    cluster.end(heavy)
    assert cluster.run() == {light: ("n1",)}
    cluster.end(light)
    cluster.now += 3600 * 40  # both uses are as good as forgotten, but their proportion is not: age decides at last
    assert cluster.run() == {again: ("n1",)}


def test_who_is_due_more_may_use_more() -> None:
    cluster = lab(2, cpus=1, rules=Rules(shares={"due": 3.0}))
    cluster.submit(owner="other")
    cluster.submit(owner="due")
    cluster.run()
    cluster.now += 1000
    other, due = cluster.submit(owner="other"), cluster.submit(owner="due")
    assert [job.id for job in queue(cluster.snapshot, cluster.now, cluster.rules)] == [due, other]


def test_a_projects_part_is_shared_by_those_who_work_for_it() -> None:
    rules = Rules(shares={"a": 2.0}, projects={"vision": Project(3.0)})
    accounts = [("vision", "a"), ("vision", "b"), ("", "c"), ("", "a")]
    found = dues(accounts, rules)
    assert {account: round(part, 9) for account, part in found.items()} == {
        ("vision", "a"): round(3 / 6 * 2 / 3, 9),
        ("vision", "b"): round(3 / 6 * 1 / 3, 9),
        ("", "c"): round(1 / 6, 9),
        ("", "a"): round(2 / 6, 9),
    }


def test_quotas_of_projects() -> None:
    cluster = lab(4, cpus=1, rules=Rules(quotas=(Quota(project="*", jobs=1), Quota(project="big", user="*", cpus=0))))
    first, second = (cluster.submit(project="vision", owner=owner) for owner in "ab")
    without, big = cluster.submit(), cluster.submit(project="big")
    assert set(cluster.run()) == {first, without}
    assert cluster.why(second).sentence == "project vision may use 1 job at once, and 1 are in use"
    assert cluster.why(big).sentence == "u and project big may use 0 threads at once, and 0 are in use"


def test_priority_of_the_job_file_goes_before_every_factor_and_class_before_age() -> None:
    rules = Rules(classes={"urgent": ServiceClass(1.0)})
    cluster = lab(1, cpus=1, rules=rules)
    plain, urgent, first = cluster.submit(), cluster.submit(service_class="urgent"), cluster.submit(priority=1)
    assert [job.id for job in queue(cluster.snapshot, cluster.now, rules)] == [first, urgent, plain]


def test_quotas_of_users_queues_and_devices() -> None:
    each = Quota(user="*", gpu_kind="RTX3090", gpus=1)
    rules = Rules(quotas=(each, Quota(queue="night", jobs=1), Quota(user="greedy", cpus=3)))
    cluster = Cluster(rules)
    cluster.node("g1", 8, gpus=gpus(2))
    cluster.node("g2", 8, gpus=gpus(1, "K80"))
    wants = Resources(gpus=1)
    first, second, third = (cluster.submit(resources=wants, owner="a") for _ in range(3))
    other = cluster.submit(resources=wants, owner="b")
    started = cluster.run()
    assert set(started) == {first, second, other}
    assert [started[first], started[second]] == [("g2",), ("g1",)] and started[other] == ("g1",)
    assert cluster.why(third) == Refusal(
        "Quota",
        "a may use 1 RTX3090 GPU at once, and 1 are in use; of what is left: needs 1 K80 GPU, 0 free",
    )
    night, later = cluster.submit(queue="night"), cluster.submit(queue="night", owner="x")
    big = cluster.submit(owner="greedy", resources=Resources(cpus=4))
    assert set(cluster.run()) == {night}
    assert cluster.why(later).sentence == "queue night may use 1 job at once, and 1 are in use"
    assert cluster.why(big).sentence == "greedy may use 3 threads at once, and 0 are in use"


def test_nobody_runs_into_a_maintenance() -> None:
    repair = Maintenance(("n1",), 1100.0, 2000.0, "new fans")
    cluster = lab(1, cpus=1, rules=Rules("easy", maintenance=(repair,)))
    long = cluster.submit(max_duration_s=200)
    unlimited = cluster.submit()
    assert cluster.run() == {}
    words = "n1 is kept for new fans from 1970-01-01 00:18 UTC to 1970-01-01 00:33 UTC"
    assert cluster.why(long) == Refusal("ReqNodeNotAvail", words)
    assert cluster.plan().reservations == (Reservation(long, 2000.0, ("n1",)),)
    short = cluster.submit(max_duration_s=50)
    assert cluster.run() == {short: ("n1",)}
    cluster.end(short)
    cluster.now = 1500.0
    assert cluster.run() == {}
    assert cluster.plan().again_at <= 2000.0
    cluster.now = 2000.0
    assert cluster.run() == {long: ("n1",)}
    assert cluster.why(unlimited).code == "Resources"


CLASSES = {"urgent": ServiceClass(1.0, preempts=("batch",)), "batch": ServiceClass(0.0, grace_s=600.0)}


def test_an_urgent_job_makes_the_youngest_of_its_prey_wait_but_none_within_its_grace() -> None:
    cluster = lab(3, cpus=1, rules=Rules(classes=CLASSES))
    old = cluster.submit(service_class="batch")
    cluster.run()
    cluster.now += 1000
    young = cluster.submit(service_class="batch")
    protected = cluster.submit()
    cluster.run()
    urgent = cluster.submit(service_class="urgent")
    decided = cluster.plan()
    (stop,) = decided.stops
    assert (stop.job_id, stop.attempt, stop.for_job) == (old, 1, urgent)  # young is within its grace
    cluster.now += 1000
    assert [stop.job_id for stop in cluster.plan().stops] == [young]
    assert protected not in {stop.job_id for stop in cluster.plan().stops}


def test_no_more_is_preempted_than_needed_and_the_room_is_the_urgent_jobs_own() -> None:
    cluster = lab(2, cpus=2, rules=Rules(classes=CLASSES))
    small = cluster.submit(service_class="batch", nodelist=("n1",))
    large = cluster.submit(service_class="batch", nodelist=("n2",), resources=Resources(cpus=2))
    cluster.run()
    cluster.now += 1000
    urgent = cluster.submit(service_class="urgent", nodelist=("n1",), resources=Resources(cpus=2))
    assert [stop.job_id for stop in cluster.plan().stops] == [small]
    thief = cluster.submit(nodelist=("n1",))
    assert cluster.run() == {}
    cluster.see(AttemptEnding(cluster.now, small, 1, Result.PREEMPTED, ""))
    assert cluster.plan().stops == ()  # it is under way: nobody else has to go
    assert cluster.plan().starts == ()
    cluster.end(small, Result.PREEMPTED, requeue=True)
    assert cluster.run() == {urgent: ("n1",)}
    assert {thief, small} <= set(cluster.plan().waiting) and large not in cluster.plan().waiting


@pytest.mark.parametrize("policy", POLICY_NAMES)
def test_an_idle_cluster_takes_whoever_comes(policy: str) -> None:
    cluster = lab(2, cpus=1, rules=Rules(policy))
    assert {cluster.submit() for _ in range(2)} == set(cluster.run())
