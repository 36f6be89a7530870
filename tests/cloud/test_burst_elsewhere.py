"""A head with nothing of its own runs a gang on machines of Google, of Azure and of a Slurm site, and leaves none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from emulator.azure import GROUP, SUBSCRIPTION
from emulator.starting import Emulator, until
from real_head import RealHead
from real_slurm import PROGRAMS
from slurm_conf import installed
from test_azure import IDENTITY, azure_credentials
from test_gcp import google_credentials
from test_slurm_site import Bed, bed

from beowulf.model.cloud import Offer
from beowulf.model.job import Burst, Checkpointing, JobSpec, Retry
from beowulf.specs.catalogue import catalogue_text

__all__ = ["azure_credentials", "bed", "google_credentials"]
pytestmark = [pytest.mark.cluster, pytest.mark.root]
Start = Callable[..., Emulator]
TOLD = "import os, socket; print(os.environ['RANK'], os.environ['WORLD_SIZE'], socket.gethostname())"
GANG = JobSpec(
    "where", "", argv=("python3", "-c", TOLD), min_nodes=2, max_nodes=2, max_duration_s=600, burst=Burst("prefer")
)


# As a training script does: at the signal it saves what it has and says so; the second attempt goes on from there.
SAVES = """
import json, os, pathlib, signal, socket, time
folder = pathlib.Path(os.environ["BEOWULF_CHECKPOINT"])
def save(*_):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "state").write_text(os.environ["RANK"])
    with open(os.environ["BEOWULF_REPORT"], "a") as report:
        report.write(json.dumps({"checkpoint": str(folder), "step": 1}) + "\\n")
signal.signal(signal.SIGUSR1, save)
print(os.environ["RANK"], os.environ["WORLD_SIZE"], socket.gethostname(), flush=True)
while not (folder / "state").exists() or os.environ["BEOWULF_ATTEMPT"] == "1":
    time.sleep(0.1)
"""
LONG = replace(
    GANG,
    argv=("python3", "-c", SAVES),
    checkpoint=Checkpointing("saved"),
    retry=Retry(("node_fail", "preempted")),
)


def start(head: RealHead, clouds: str, offers: list[Offer], spec: JobSpec = GANG) -> str:
    """The job's id; the head is up."""
    head.home.mkdir()
    money = "burst:\n  budget: {month: 50}\n  idle_release: 2s\n  list_every: 1s\n  lease: 60s\n"
    (head.home / "settings.yaml").write_text(clouds + money)
    (head.home / "catalogue.yaml").write_text(catalogue_text(offers, heading="of a test"))
    head.up()
    return head.submit(spec)


def said(head: RealHead, job: str, attempt: int = 1) -> list[list[str]]:
    """What the two ranks said: rank, world, host."""
    return sorted(head.text(job, rank, attempt).decode().split() for rank in ("0", "1"))


def completed(head: RealHead, job: str) -> list[list[str]]:
    assert head.ended(job, 150)["word"] == "COMPLETED", head.log()
    return said(head, job)


def offer(provider: str, region: str, machine_type: str) -> Offer:
    return Offer(
        provider, region, "", machine_type, cpus=2, memory_mib=1024, hourly_usd=0.01,
        as_of=datetime.now(UTC).date().isoformat(), source="a test",
    )  # fmt: skip


def gone(emulator: Emulator) -> None:
    until(lambda: not emulator.live(), what="every machine to be given back")
    assert len(emulator.machines()) == 2  # nobody bought more than the gang


def test_on_google(cloud: Start, fresh_head: RealHead) -> None:
    emulator = cloud("gcp", boot_s=0.2)
    clouds = f"clouds:\n  gcp: {{regions: [us-central1], endpoint: '{emulator.url}', options: {{project: emulated}}}}\n"
    told = completed(fresh_head, start(fresh_head, clouds, [offer("gcp", "us-central1", "e2-micro")]))
    assert [line[:2] for line in told] == [["0", "2"], ["1", "2"]] and told[0][2] != told[1][2]
    gone(emulator)


def test_on_azure(cloud: Start, fresh_head: RealHead, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = cloud("azure", boot_s=0.2)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(emulator.certificate))
    options: dict[str, Any] = {"subscription": SUBSCRIPTION, "resource_group": GROUP, "identity": IDENTITY}
    lines = "".join(f"      {key}: {value}\n" for key, value in {**options, "authority": emulator.url}.items())
    clouds = f"clouds:\n  azure:\n    regions: [eastus]\n    network: net/hosts\n    endpoint: {emulator.url}\n"
    job = start(fresh_head, f"{clouds}    options:\n{lines}", [offer("azure", "eastus", "Standard_B2s")])
    told = completed(fresh_head, job)
    assert [line[:2] for line in told] == [["0", "2"], ["1", "2"]] and told[0][2] != told[1][2]
    gone(emulator)


@pytest.mark.skipif(not installed(), reason="no slurm-wlm, munge")
def test_on_slurm_beyond_the_limit_of_the_first_pilots(
    bed: Bed, fresh_head: RealHead, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm says that the time is up (as it would itself); the gang saves, and goes on on the next pilots."""
    monkeypatch.setenv("HOME", str(bed.home))
    options = f"{{login: {bed.slurm.login}, programs: {PROGRAMS}}}"
    machines = "[{machine_type: main, cpus: 2, memory: 512MB}]"
    clouds = f"clouds:\n  hpc:\n    provider: slurm\n    options: {options}\n    machines: {machines}\n"
    job = start(fresh_head, clouds, [], LONG)
    until(lambda: all(len(line) == 3 for line in said(fresh_head, job)), what="the gang to run")
    first = set(bed.slurm.run("squeue", "-h", "-o", "%i").split())
    bed.slurm.run("scancel", "--batch", "--signal=USR1", *first)
    assert [line[:2] for line in completed(fresh_head, job)] == [["0", "2"], ["1", "2"]]
    assert {line[2] for line in said(fresh_head, job, 2)} == {"n2", "n3"}
    until(lambda: not bed.jobs() and not bed.of_user(), what="every pilot to be given back")
