"""Jobs without a limit are judged by earlier runs of their kind, and the judgement is judged."""

from __future__ import annotations

from dataclasses import replace

import pytest
from small_cluster import Cluster, lab

from beowulf.model.job import Launcher, Result
from beowulf.model.rules import Rules
from beowulf.scheduler import Reservation, expected_end, explain
from beowulf.scheduler.estimates import estimate, history_of, predicted_s


def runs(cluster: Cluster, *lengths: float, name: str = "train") -> None:
    for length in lengths:
        job = cluster.submit(name=name)
        cluster.run()
        cluster.now += length
        cluster.end(job)


def test_a_kind_is_a_name_a_user_and_a_launcher_and_few_runs_say_nothing() -> None:
    cluster = lab(1)
    runs(cluster, 100.0, 100.0)
    spec = next(iter(cluster.snapshot.jobs.values())).spec
    assert estimate(spec, "u", history_of(cluster.snapshot.jobs.values())) is None
    runs(cluster, 100.0)
    history = history_of(cluster.snapshot.jobs.values())
    found = estimate(spec, "u", history)
    assert found is not None and (found.run_s, found.runs, found.error) == (100.0, 3, None)
    for other, owner in ((replace(spec, name="x"), "u"), (spec, "v"), (replace(spec, launcher=Launcher.MPI), "u")):
        assert estimate(other, owner, history) is None


def test_nearly_every_earlier_run_was_over_by_then_and_old_runs_are_forgotten() -> None:
    told = [(float(at), str(at), float(at)) for at in range(1, 101)]
    assert predicted_s(told) == 99.0
    assert predicted_s(told, before=51.0) == 49.0
    assert predicted_s(told[:2]) == float("inf")


def test_the_score_is_what_each_run_would_have_been_told() -> None:
    cluster = lab(1)
    runs(cluster, 100.0, 100.0, 100.0, 80.0, 200.0)
    jobs = cluster.snapshot.jobs.values()
    found = estimate(next(iter(jobs)).spec, "u", history_of(jobs))
    assert found is not None and found.error == pytest.approx((0.25 + 0.5) / 2)


def test_a_run_that_went_on_with_other_nodes_counts_in_full() -> None:
    cluster = lab(1)
    job = cluster.submit(name="train")
    for length, result in ((100.0, Result.RESIZED), (70.0, Result.NODE_FAIL), (50.0, Result.COMPLETED)):
        cluster.run()
        cluster.now += length
        cluster.end(job, result, requeue=result is not Result.COMPLETED)
    ((run,),) = history_of(cluster.snapshot.jobs.values()).values()
    assert run == (cluster.now, job, 150.0)


def test_backfill_goes_by_estimates_and_why_shows_start_and_end() -> None:
    cluster = lab(2, cpus=1, rules=Rules("easy"))
    runs(cluster, 100.0, 100.0, 100.0)
    begin = cluster.now + 1
    running = cluster.submit(name="train")
    cluster.run()
    gang = cluster.submit(min_nodes=2, max_nodes=2, max_duration_s=10.0)
    short = cluster.submit(max_duration_s=50.0)
    assert set(cluster.run()) == {short}
    assert cluster.plan().reservations == (Reservation(gang, begin + 100.0, ("n1", "n2")),)
    told = explain(cluster.snapshot, cluster.now, gang, cluster.rules)
    assert told is not None and (told.starts_at, told.ends_at) == (begin + 100.0, begin + 110.0)
    end = expected_end(cluster.snapshot, cluster.snapshot.jobs[running], cluster.rules)
    assert end is not None and end.estimate is not None and end.at == begin + 100.0
    another = cluster.submit(name="train")
    told = explain(cluster.snapshot, cluster.now, another, cluster.rules)
    assert told is not None and told.estimate is not None and told.estimate.runs == 3
    off = replace(cluster.rules, estimate=False)
    assert expected_end(cluster.snapshot, cluster.snapshot.jobs[running], off) is None


def test_who_outlives_the_estimate_may_end_any_moment() -> None:
    cluster = lab(1, cpus=1, rules=Rules("easy"))
    runs(cluster, 10.0, 10.0, 10.0)
    cluster.submit(name="train")
    cluster.run()
    waiting = cluster.submit(max_duration_s=5.0)
    cluster.now += 500
    assert cluster.plan().reservations == (Reservation(waiting, cluster.now + 1.0, ("n1",)),)
