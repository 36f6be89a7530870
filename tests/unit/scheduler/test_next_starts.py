"""Who starts next: as the plans that follow really start them."""

from __future__ import annotations

from small_cluster import lab

from beowulf.model.job import Resources
from beowulf.scheduler import NextStart, next_starts


def told(cluster: object, most: int = 50, spent: bool = False) -> list[NextStart]:
    return next_starts(cluster.snapshot, cluster.now, cluster.rules, most, lambda: spent)  # type: ignore[attr-defined]


def test_in_the_order_of_their_starts_with_nodes_and_ends() -> None:
    cluster = lab(2, cpus=2)
    cluster.submit(min_nodes=2, max_nodes=2, resources=Resources(cpus=2), max_duration_s=100)
    cluster.run()
    begun = cluster.now
    wide = cluster.submit(min_nodes=2, max_nodes=2, resources=Resources(cpus=2), max_duration_s=50)
    endless = cluster.submit(resources=Resources(cpus=2))
    never = cluster.submit(resources=Resources(gpus=4))
    found = told(cluster)
    assert [(one.job_id, one.at, one.ends_at) for one in found] == [
        (wide, begun + 100, begun + 150),
        (endless, begun + 150, float("inf")),
    ]
    assert set(found[0].allocation.nodes) == {"n1", "n2"} and never not in [one.job_id for one in found]


def test_no_more_than_asked_for_and_none_once_the_time_is_up() -> None:
    cluster = lab(1, cpus=1)
    for _ in range(5):
        cluster.submit(max_duration_s=10)
    assert [one.job_id for one in told(cluster, most=3)] == ["1", "2", "3"]
    assert [one.job_id for one in told(cluster, spent=True)] == ["1"]
