"""The head's own machine as a node: the same agent over a pipe, no SSH, no root."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_head import RealHead

from beowulf.model.job import JobSpec, Resources

# What torchrun's ranks do, with the standard library: rank 0 listens, the others come, everybody learns the sum.
MEET = """
import os, socket, time
rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
place = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
if rank == 0:
    total, peers = 0, []
    server = socket.create_server(place)
    for _ in range(world - 1):
        peer, _ = server.accept()
        total += int(peer.makefile().readline())
        peers.append(peer)
    for peer in peers:
        peer.sendall(b"%d\\n" % total)
else:
    while True:
        try:
            peer = socket.create_connection(place)
            break
        except ConnectionRefusedError:
            time.sleep(0.05)
    peer.sendall(b"%d\\n" % rank)
    total = int(peer.makefile().readline())
print("rank", rank, "of", world, "local", os.environ["LOCAL_RANK"], "sum", total, flush=True)
"""
JOB = """
name: meet
launcher: torchrun
procs_per_node: 2
run: python3 meet.py
workdir: .
max_duration: 10m
"""


@pytest.fixture
def own_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealHead]:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))  # the agent's folder is there
    head = RealHead(tmp_path / "head")
    head.up()
    yield head
    head.down()


def test_two_ranks_meet_on_the_head_itself(own_head: RealHead, tmp_path: Path) -> None:
    added = own_head.cli("nodes", "add", "local")
    assert added.returncode == 0, added.stderr
    assert own_head.cli("nodes", "wait", "--timeout", "250").returncode == 0
    shown = json.loads(own_head.cli("nodes", "list", "--json").stdout)["nodes"]
    assert [(node["id"], node["endpoint"]["local"], node["state"]) for node in shown] == [("local", True, "UP")]

    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "meet.py").write_text(MEET)
    (folder / "job.yaml").write_text(JOB)
    done = own_head.cli("submit", "--wait", "job.yaml", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr + own_head.log()
    for rank in (0, 1):
        assert f"[{rank}] rank {rank} of 2 local {rank} sum 1" in done.stdout

    assert own_head.cli("run", "--", "sh", "-c", "exit 3").returncode == 3
    sound = own_head.cli("doctor", "local")
    assert sound.returncode == 0, sound.stdout


def test_the_same_machine_under_a_second_name_is_refused(own_head: RealHead) -> None:
    assert own_head.cli("nodes", "add", "local").returncode == 0
    assert own_head.cli("nodes", "wait").returncode == 0
    own_head.client.add_node("again", {"host": "again", "local": True})
    waited = own_head.cli("nodes", "wait", "again")
    assert waited.returncode == 124 and "again is REFUSED: it is the same machine as local" in waited.stderr
    page = own_head.cli("nodes", "show", "again").stdout
    assert "REFUSED" in page and "beowulf nodes remove again" in page
    assert "NodeRefused" in own_head.cli("events").stdout
    threads = json.loads(own_head.cli("nodes", "list", "--json").stdout)["nodes"][0]["facts"]["cpus"]
    jobs = [own_head.client.submit(JobSpec("fat", "true", resources=Resources(cpus=len(threads)))) for _ in range(3)]
    for job in jobs:
        assert own_head.ended(job)["attempts"][0]["allocation"]["shares"][0]["node"] == "local"
    assert own_head.cli("nodes", "remove", "local").returncode == 0
    assert own_head.cli("nodes", "wait", "again").returncode == 0
    assert own_head.cli("run", "--", "true").returncode == 0
