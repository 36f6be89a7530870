"""The last two minutes of each node, and who has heard of them."""

from beowulf.daemon.samples import KEPT, Samples
from beowulf.probe import GpuLoad

COUNTERS = {"cpu_busy": 10, "cpu_all": 100}


def test_a_listener_gets_what_is_new_and_nothing_twice() -> None:
    samples = Samples()
    samples.beat("n1", COUNTERS, 1.5, now=1.0)
    number, found = samples.since(0)
    assert [load.round_trip_ms for load in found["n1"]] == [1.5]
    assert samples.since(number) == (number, {})
    samples.beat("n2", COUNTERS, 2.5, now=2.0)
    samples.beat("n1", {"cpu_busy": 20, "cpu_all": 120}, 3.5, now=6.0)
    _, later = samples.since(number)
    assert {node: [load.round_trip_ms for load in loads] for node, loads in later.items()} == {"n1": [3.5], "n2": [2.5]}
    assert later["n1"][0].cpu == 0.5
    assert samples.newest() == {node: loads[-1] for node, loads in later.items()}


def test_only_two_minutes_are_kept_and_gpus_are_carried_on() -> None:
    samples = Samples()
    samples.gpus("n1", (GpuLoad(0, 0.5),))
    for second in range(3 * KEPT):
        samples.beat("n1", COUNTERS, 1.0, now=float(second))
    loads = samples.since(0)[1]["n1"]
    assert len(loads) == KEPT and loads[-1].gpus == (GpuLoad(0, 0.5),)


def test_a_node_that_went_away_is_forgotten() -> None:
    samples = Samples()
    samples.beat("n1", COUNTERS, 1.0, now=1.0)
    samples.forget("n1")
    assert samples.since(0)[1] == {}
