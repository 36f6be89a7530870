"""One gang over a lab and an emulated EC2 that have no way to each other but through the head."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from emulator.starting import Emulator, until
from real_head import RealHead
from test_burst import SETTINGS, nothing_is_left

from beowulf.lab import Lab
from beowulf.model.job import Burst, Communication, JobSpec, Launcher

pytestmark = [pytest.mark.root, pytest.mark.cluster, pytest.mark.usefixtures("aws_credentials")]

# Rank 0 is met as torch's store is: at MASTER_ADDR and MASTER_PORT, by whoever can get there.
MEETING = """
import os, socket, sys, time
place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
if os.environ["RANK"] == "0":
    peer = socket.create_server(("", place[1])).accept()[0]
else:
    peer = socket.create_connection(place)
peer.sendall(os.environ["RANK"].encode())
heard = peer.recv(9).decode()
print(os.environ["RANK"], "hears", heard, "at", os.environ["BEOWULF_SITES"], "by", place[1], flush=True)
if int(os.environ["BEOWULF_ATTEMPT"]) <= int(sys.argv[1]):
    peer.recv(9)
    time.sleep(600)
"""


@pytest.fixture
def ec2(cloud: Callable[..., Emulator]) -> Emulator:
    return cloud("ec2", boot_s=0.5)


@pytest.fixture
def lab(fresh_lab: Callable[..., Lab]) -> Lab:
    return fresh_lab(1)


@pytest.fixture
def stretching(tmp_path: Path, ec2: Emulator, lab: Lab) -> Iterator[RealHead]:
    """A head with a lab of one host, which may rent one machine at a time."""
    home = tmp_path / "head"
    home.mkdir()
    (home / "settings.yaml").write_text(SETTINGS.format(url=ec2.url) + "  machines: 1\n")
    head = RealHead(home)
    head.up()
    head.add(lab)
    yield head
    head.down()


def meeting(stuck_until: int = 0) -> JobSpec:
    """Attempts up to ``stuck_until`` never end by themselves."""
    return JobSpec(
        "meeting",
        "",
        argv=("python3", "-c", MEETING, str(stuck_until)),
        launcher=Launcher.TORCHRUN,
        min_nodes=2,
        max_nodes=2,
        max_duration_s=300.0,
        steps=144,
        communication=Communication("local-sgd"),
        burst=Burst("auto", use_spot=False, stretch=True, model_mib=1),
    )


def nodes_of(job: dict[str, Any]) -> list[list[str]]:
    """By attempt."""
    return [[share["node"] for share in attempt["allocation"]["shares"]] for attempt in job["attempts"]]


def said(head: RealHead, job: str, attempt: int = 1) -> list[str]:
    return sorted(head.text(job, rank, attempt).decode() for rank in ("0", "1"))


def door(head: RealHead, job: str) -> int:
    """The port by which rank 1 found rank 0."""
    return int(head.text(job, "1").split()[-1])


def listens(machine: dict[str, Any], ec2: Emulator, port: int) -> bool:
    """Whether anything does at that port of the machine's loopback, looked at from outside."""
    space = next((name for name in Path("/run/netns").iterdir() if name.name.endswith(machine["id"])), None)
    if space is None:  # it was given back
        return False
    table = subprocess.run(["nsenter", f"--net={space}", "cat", "/proc/net/tcp"], capture_output=True, text=True)
    return f"0100007F:{port:04X} 00000000:0000 0A" in table.stdout


def reaches(lab: Lab, address: str, port: int, patience_s: int = 60) -> bool:
    """Whether the lab's host does, without the head."""
    return lab.run("n1", ["timeout", str(patience_s), "bash", "-c", f"</dev/tcp/{address}/{port}"]).returncode == 0


def test_ranks_of_two_sites_meet_through_the_head(stretching: RealHead, ec2: Emulator, lab: Lab) -> None:
    burst = stretching.client.dry_run(meeting())["burst"]
    assert "with 1 node here end by" in burst["sentence"]
    assert [row["beside"] for row in burst["offers"] if row["chosen"]] == [1]
    job = stretching.submit(meeting(stuck_until=1))
    stretching.wait_for(lambda: len("".join(said(stretching, job)).splitlines()) == 2, "ranks to hear each other", 90)
    (machine,) = ec2.live()
    assert reaches(lab, lab.hosts["n1"].address, lab.hosts["n1"].port)
    assert not reaches(lab, machine["address"], 22, 5), "they have no other way"
    first, second = said(stretching, job)
    assert first.startswith("0 hears 1 at 0,1") and second.startswith("1 hears 0 at 0,1")
    (measured,) = stretching.client.node(nodes_of(stretching.client.job(job))[0][1])["profile"]["links"]
    assert measured["peer"] == "n1" and measured["megabytes_per_s"] > 0 and measured["round_trip_ms"] > 0
    assert listens(machine, ec2, door(stretching, job))
    stretching.client.cancel(job)
    done = stretching.ended(job)
    assert done["word"] == "CANCELLED" and nodes_of(done)[0][0] == "n1"
    until(lambda: not listens(machine, ec2, door(stretching, job)), what="its way to be closed")
    nothing_is_left(stretching, ec2)


@pytest.mark.slow
def test_a_head_that_dies_ends_the_gang_leaves_no_way_open_and_starts_it_anew(
    stretching: RealHead, ec2: Emulator
) -> None:
    job = stretching.submit(meeting(stuck_until=1))
    stretching.wait_for(lambda: len("".join(said(stretching, job)).splitlines()) == 2, "ranks to hear each other", 90)
    (machine,) = ec2.live()
    stretching.kill()
    until(lambda: not listens(machine, ec2, door(stretching, job)), what="its way to be closed")
    stretching.up()
    done = stretching.ended(job, 120)
    assert done["word"] == "COMPLETED", done["reason"] + stretching.log()
    assert done["attempts"][0]["ending"] == "NODE_FAIL" and "the head was away" in done["attempts"][0]["reason"]
    assert [len(nodes) for nodes in nodes_of(done)] == [2, 2]
    nothing_is_left(stretching, ec2)


@pytest.mark.slow
def test_a_site_that_is_lost_ends_the_gang_and_another_machine_joins_it(stretching: RealHead, ec2: Emulator) -> None:
    job = stretching.submit(meeting(stuck_until=1))
    stretching.wait_for(lambda: len("".join(said(stretching, job)).splitlines()) == 2, "ranks to hear each other", 90)
    (machine,) = ec2.live()
    ec2.cut(machine["id"])
    done = stretching.ended(job, 200)
    assert done["word"] == "COMPLETED", done["reason"] + stretching.log()
    assert done["attempts"][0]["ending"] == "NODE_FAIL"
    first, second = nodes_of(done)
    assert first[0] == second[0] == "n1" and first[1] != second[1]
    nothing_is_left(stretching, ec2)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_digits_train_over_two_sites(stretching: RealHead, ec2: Emulator) -> None:
    """The sample job as it is: local-sgd to its accuracy, the rented machine given back."""
    job = stretching.cli("submit", "jobs/digits-stretch.yaml").stdout.strip()
    done = stretching.ended(job, 800)
    assert done["word"] == "COMPLETED", done["reason"] + stretching.log()
    assert len(nodes_of(done)[-1]) == 2 and nodes_of(done)[-1][0] == "n1"
    result = json.loads((stretching.home / "jobs" / job / "outputs" / "results" / "accuracy.json").read_text())
    assert result["accuracy"] >= 0.95 and result["ranks"] == 2
    until(lambda: not ec2.live(), 180, "the machine's disk, with an environment on it, to be wiped")
    nothing_is_left(stretching, ec2)
