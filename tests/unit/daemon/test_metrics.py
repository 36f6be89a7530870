"""The figures of a small cluster, read back by a parser that is not ours."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from beowulf.daemon.metrics import Metrics
from beowulf.daemon.metrics_server import MetricsServer
from beowulf.model import event as ev
from beowulf.model import rented
from beowulf.model.allocation import Allocation, RankSlot, Share
from beowulf.model.apply import apply
from beowulf.model.cloud import Market, Offer
from beowulf.model.event import Event
from beowulf.model.job import JobSpec, Result
from beowulf.model.node import Endpoint, Facts, Gpu, NodeId
from beowulf.model.snapshot import Snapshot
from beowulf.probe import GpuLoad, Load
from beowulf.store import Store


class Cluster:
    """Events in a real store, and the metrics of it."""

    def __init__(self, folder: Path) -> None:
        self.store = Store.open(f"sqlite:///{folder / 'beowulf.db'}", now=0.0)
        self.snapshot: Snapshot = self.store.load()
        self.loads: dict[NodeId, Load] = {}
        self.metrics = Metrics(lambda: self.snapshot, lambda: self.store.last, self.store.events, lambda: self.loads)

    def happen(self, *events: Event) -> None:
        for event in events:
            self.snapshot = apply(self.snapshot, event)
        self.store.commit(events, self.snapshot)

    def read(self) -> dict[tuple[str, ...], float]:
        families = text_string_to_metric_families(self.metrics.text().decode())
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
        }


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    cluster = Cluster(tmp_path)
    gpu = Gpu(0, "K80", "nvidia", "Tesla K80", 11441)
    cluster.happen(
        ev.NodeAdded(1.0, "n1", Endpoint("10.0.0.1"), "key"),
        ev.NodeUp(2.0, "n1", "/home/x", Facts(cpus=(0, 1, 2, 3), memory_mib=1024, gpus=(gpu,))),
        ev.NodeAdded(2.0, "n2", Endpoint("10.0.0.2"), "key"),
        ev.JobSubmitted(10.0, "1", 1, JobSpec("a", "true"), "ann", 1000),
        ev.JobSubmitted(10.0, "2", 2, JobSpec("b", "true"), "ann", 1000),
    )
    return cluster


def test_jobs_and_nodes_by_state(cluster: Cluster) -> None:
    cluster.happen(ev.JobPlaced(40.0, "1", 1, Allocation((Share("n1", (RankSlot(0, 0, (0, 1), (0,)),)),))))
    found = cluster.read()
    assert found["beowulf_jobs", "PENDING"] == 1 and found["beowulf_jobs", "CONFIGURING"] == 1
    assert (found["beowulf_node_up", "n1", "lab"], found["beowulf_node_up", "n2", "lab"]) == (1, 0)
    assert (found["beowulf_node_threads", "n1", "lab"], found["beowulf_node_threads_used", "n1", "lab"]) == (4, 2)
    assert found["beowulf_node_gpus_used", "n1", "lab"] == 1
    assert found["beowulf_node_memory_bytes", "n1", "lab"] == 1024 << 20


def test_ends_and_waits_are_counted_once_however_often_they_are_read(cluster: Cluster) -> None:
    cluster.happen(
        ev.JobPlaced(40.0, "1", 1, Allocation((Share("n1", (RankSlot(0, 0, (0,)),)),))),
        ev.AttemptEnding(50.0, "1", 1, Result.FAILED, "exit code 1"),
        ev.ShareCleared(51.0, "1", 1, "n1"),
        ev.AttemptEnded(52.0, "1", 1, Result.FAILED, "exit code 1"),
    )
    cluster.read()
    found = cluster.read()
    assert found["beowulf_jobs_ended_total", "FAILED"] == 1 and found["beowulf_attempts_total",] == 1
    assert found["beowulf_queue_wait_seconds_sum",] == 30.0
    waits = {le: found["beowulf_queue_wait_seconds_bucket", le] for le in ("10.0", "60.0", "+Inf")}
    assert waits == {"10.0": 0, "60.0": 1, "+Inf": 1}


def test_loads_as_far_as_they_are_known(cluster: Cluster) -> None:
    cluster.loads = {"n1": Load(5.0, cpu=0.25, round_trip_ms=12.0, gpus=(GpuLoad(0, 0.5, 100, -1, 60.0),))}
    found = cluster.read()
    assert found["beowulf_node_cpu_busy_ratio", "n1"] == 0.25
    assert found["beowulf_node_round_trip_seconds", "n1"] == 0.012
    assert found["beowulf_gpu_busy_ratio", "0", "n1"] == 0.5
    assert ("beowulf_gpu_temperature_celsius", "0", "n1") not in found
    assert ("beowulf_node_memory_used_bytes", "n1") not in found


def test_rented_machines_and_what_they_cost(cluster: Cluster) -> None:
    begin = 1_793_500_000.0  # 2026-11-01
    offer = Offer("aws", "us-east-1", "", "g4dn.xlarge", 4, 16384, hourly_usd=3.6)
    intent = rented.MachineIntended(
        begin, "aws-1", 1, "token", offer, Market.ON_DEMAND, 3.6, "digest", 900.0, begin + 900, "key", owner="ann"
    )
    cluster.happen(intent, rented.MachineBooting(begin, "aws-1", "i-1", begin))
    cluster.metrics = Metrics(lambda: cluster.snapshot, lambda: 0, lambda *_: [], dict, lambda: 2, lambda: begin + 100)
    found = cluster.read()
    assert found["beowulf_cloud_machines", "aws", "BOOTING"] == 1 and found["beowulf_cloud_hourly_usd",] == 3.6
    assert found["beowulf_cloud_month_usd", "aws"] == pytest.approx(0.1) and found["beowulf_cloud_orphans",] == 2


def test_served_on_loopback_and_nothing_else_is(cluster: Cluster, free_port: int) -> None:
    server = MetricsServer(cluster.metrics.text, free_port)
    server.start()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{free_port}/metrics", timeout=60) as answer:
            assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
            assert b'beowulf_jobs{state="PENDING"} 2.0' in answer.read()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{free_port}/v1/jobs", timeout=60)
    finally:
        server.stop()
