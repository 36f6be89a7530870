"""``beowulf nodes bench`` over real hosts of unequal speed: figures, profiles, and what ranks are told of them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from real_head import RealHead

from beowulf.lab import Lab
from beowulf.lab.topology import parse_topology
from beowulf.model.errors import Refused
from beowulf.model.job import JobSpec

UNEQUAL = "hosts: {n1: {cores: 1}, n2: {cores: 1, link: 100mbit}, n3: {cores: 1, cpu_share: 0.1}}"
SHAPED = (("n1", "n2"), ("n2", "n1"), ("n2", "n3"))
SPEEDS = 'echo "$RANK ${BEOWULF_SPEEDS-unknown}"'


@pytest.fixture
def cluster(fresh_lab: Callable[..., Lab], fresh_head: RealHead) -> RealHead:
    lab = fresh_lab(None, topology=parse_topology(UNEQUAL, "t.yaml"))
    fresh_head.up()
    fresh_head.add(lab)
    return fresh_head


def speeds(head: RealHead, *nodes: str) -> str:
    spec = JobSpec("speeds", SPEEDS, min_nodes=len(nodes), max_nodes=len(nodes), nodelist=nodes)
    done = head.ended(job := head.submit(spec))
    assert done["word"] == "COMPLETED", done["reason"]
    return head.text(job, "0").decode().split()[1]


def test_unequal_hosts_are_measured_and_ranks_are_told(cluster: RealHead) -> None:
    assert speeds(cluster, "n1", "n3") == "unknown"
    done = cluster.cli("nodes", "bench")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "n1: bare Python" in done.stderr and "n2: to n1: " in done.stderr
    profiles = {node["id"]: node["profile"] for node in cluster.client.nodes()}
    rates = {name: one["devices"][0]["gflops"] for name, one in profiles.items()}
    assert rates["n3"] < 0.7 * rates["n1"]
    assert profiles["n1"]["devices"][0]["memory_gb_s"] > 0.1
    lines = {(name, line["peer"]): line for name, one in profiles.items() for line in one["links"]}
    assert len(lines) == 6 and not any(line["error"] for line in lines.values())
    for pair in SHAPED:
        assert 1 < lines[pair]["megabytes_per_s"] < 13.5, lines[pair]
    assert lines["n1", "n3"]["megabytes_per_s"] > max(lines[pair]["megabytes_per_s"] for pair in SHAPED)
    assert 0 < lines["n1", "n3"]["round_trip_ms"] < 1000
    told = [float(speed) for speed in speeds(cluster, "n1", "n3").split(",")]
    assert max(told) == 1.0 and min(told) == pytest.approx(rates["n3"] / rates["n1"], rel=0.01)
    assert "GFLOP/s" in cluster.cli("nodes", "show", "n1").stdout
    wide = cluster.cli("nodes", "list", "--wide").stdout
    assert "NET MB/S" in wide and "cpu, python" in wide
    cluster.down()
    cluster.up()
    kept = {node["id"]: node["profile"] for node in cluster.client.nodes()}
    assert kept == profiles


def test_jobs_come_first(cluster: RealHead) -> None:
    """A busy node is left alone unless somebody insists."""
    job = cluster.submit(JobSpec("busy", "sleep infinity", nodelist=("n1",)))
    cluster.is_running(job)
    done = cluster.cli("nodes", "bench", "n1", "n2", "--peers", "0", "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == 1 and f"job {job} is there" in answer["skipped"]["n1"]
    measured = {node["id"]: node["measured_at"] for node in answer["nodes"]}
    assert measured["n1"] == 0 and measured["n2"] > 0
    forced = cluster.cli("nodes", "bench", "n1", "--peers", "0", "--force")
    assert forced.returncode == 0 and cluster.client.node("n1")["profile"]["measured_at"] > 0
    assert cluster.client.job(job)["word"] == "RUNNING"


def test_one_at_a_time_and_a_client_that_leaves(cluster: RealHead) -> None:
    steps = cluster.client.bench(["n1", "n2"])
    next(steps)
    with pytest.raises(Refused, match="being measured already"):
        list(cluster.client.bench(["n3"]))
    steps.close()  # Ctrl-C

    def free() -> bool:
        try:
            return [step["phase"] for step in cluster.client.bench(["n3"], peers=0)][-1] == "measured"
        except Refused:
            return False

    cluster.wait_for(free, "the benchmark to be given up")
