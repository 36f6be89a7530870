"""What users are charged with, from nothing and from what changed."""

from __future__ import annotations

from dataclasses import replace

from immutables import Map
from small_cluster import Cluster, lab

from beowulf.model.job import Result
from beowulf.model.rules import Rules
from beowulf.scheduler import plan, replan
from beowulf.scheduler.usage import recharge, usage_of


def refused_at_once() -> tuple[Cluster, str]:
    """A user's first job is placed and ends in the same moment: its launcher found something amiss."""
    cluster = lab(1)
    job = cluster.submit(owner="bob")
    cluster.tick()
    return cluster, job


def test_an_attempt_that_took_no_time_is_charged_nothing_either_way() -> None:
    cluster, job = refused_at_once()
    before = cluster.snapshot.jobs[job]
    cluster.end(job, Result.FAILED)
    after = cluster.snapshot.jobs[job]
    nothing = usage_of([replace(before, attempts=())], 60.0)
    assert recharge(nothing, None, after, 60.0) == usage_of([after], 60.0) == Map()


def test_it_does_not_stop_the_next_plan() -> None:
    cluster = lab(1)
    job = cluster.submit(owner="bob")
    _, memo = replan(cluster.snapshot, cluster.now, Rules(), None)
    cluster.tick()
    cluster.end(job, Result.FAILED)
    cluster.submit(owner="ann")
    assert replan(cluster.snapshot, cluster.now, Rules(), memo)[0] == plan(cluster.snapshot, cluster.now, Rules())
