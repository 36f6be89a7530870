"""`beowulf submit jobs/digits-burst.yaml`, the file as it ships, while the lab is full: it finishes elsewhere."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
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

from beowulf.cloud.shelf import read_catalogue
from beowulf.lab import Lab
from beowulf.model.job import JobSpec, Resources
from beowulf.specs.catalogue import catalogue_text

__all__ = ["azure_credentials", "bed", "google_credentials"]
pytestmark = [pytest.mark.cluster, pytest.mark.root, pytest.mark.usefixtures("aws_credentials")]
Start = Callable[..., Emulator]
PATIENCE_S = 500
MONEY = """
heartbeat_s: 1s
burst:
  budget: {month: 5.00}
  lease: 60s
  idle_release: 1s
  ready_timeout: 120s
  grace: 3s
  list_every: 1s
"""


@dataclass(frozen=True)
class Site:
    """One place to rent from. ``clouds``: its part of the settings file; ``rented``: what of ours is there now."""

    clouds: str
    rented: Callable[[], list[Any]]


@pytest.fixture
def aws(cloud: Start) -> Site:
    emulator = cloud("ec2", boot_s=0.5)
    chosen = "{regions: [us-east-1], image: ami-1, options: {address: private}, "
    return Site(f"clouds:\n  aws: {chosen}endpoint: '{emulator.url}'}}\n", emulator.live)


@pytest.fixture
def gcp(cloud: Start) -> Site:
    emulator = cloud("gcp", boot_s=0.5)
    chosen = "{regions: [us-east1], options: {project: emulated}, "
    return Site(f"clouds:\n  gcp: {chosen}endpoint: '{emulator.url}'}}\n", emulator.live)


@pytest.fixture
def azure(cloud: Start, monkeypatch: pytest.MonkeyPatch) -> Site:
    emulator = cloud("azure", boot_s=0.5)
    trusted = Path(os.environ.get("REQUESTS_CA_BUNDLE") or ssl.get_default_verify_paths().cafile or os.devnull)
    both = emulator.folder / "trusted.pem"  # wheels still come from where they always do
    both.write_text(emulator.certificate.read_text() + trusted.read_text())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(both))
    options = {"subscription": SUBSCRIPTION, "resource_group": GROUP, "identity": IDENTITY, "authority": emulator.url}
    lines = "".join(f"      {key}: {value}\n" for key, value in options.items())
    clouds = f"clouds:\n  azure:\n    regions: [eastus]\n    network: net/hosts\n    endpoint: {emulator.url}\n"
    return Site(f"{clouds}    options:\n{lines}", emulator.live)


@pytest.fixture
def slurm(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    # Another home for the keys alone: caches and pip's settings stay where they are.
    for name, folder in (("XDG_CACHE_HOME", ".cache"), ("XDG_CONFIG_HOME", ".config")):
        monkeypatch.setenv(name, os.environ.get(name) or str(Path.home() / folder))
    monkeypatch.setenv("HOME", str(bed.home))
    options = f"{{login: {bed.slurm.login}, programs: {PROGRAMS}}}"
    machines = "[{machine_type: main, cpus: 2, memory: 2GB}]"
    clouds = f"clouds:\n  hpc:\n    provider: slurm\n    options: {options}\n    machines: {machines}\n"
    yield Site(clouds, lambda: [*bed.jobs(), *bed.of_user()])
    bed.slurm.run("scancel", "--me")


def prices_of_today(home: Path) -> None:
    """The catalogue that ships, as if it had been brought up to date: one day it will be too old to buy by."""
    today = datetime.now(UTC).date().isoformat()
    offers = [replace(offer, as_of=today) for offer in read_catalogue(home)]
    (home / "catalogue.yaml").write_text(catalogue_text(offers, heading="of a test"))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "where",
    ["aws", "gcp", "azure", pytest.param("slurm", marks=pytest.mark.skipif(not installed(), reason="no slurm-wlm"))],
)
def test_the_digits_train_elsewhere_while_the_lab_is_full(
    where: str, request: pytest.FixtureRequest, fresh_head: RealHead, fresh_lab: Callable[..., Lab]
) -> None:
    site: Site = request.getfixturevalue(where)
    fresh_head.home.mkdir()
    (fresh_head.home / "settings.yaml").write_text(site.clouds + MONEY)
    prices_of_today(fresh_head.home)
    fresh_head.up()
    lab = fresh_lab(2)
    fresh_head.add(lab)
    taken = fill(fresh_head, nodes=2)
    job = fresh_head.cli("submit", "jobs/digits-burst.yaml").stdout.strip()
    done = fresh_head.ended(job, PATIENCE_S)
    assert done["word"] == "COMPLETED", done["reason"] + fresh_head.log()
    nodes = {share["node"] for share in done["attempts"][-1]["allocation"]["shares"]}
    assert len(nodes) == 2 and not nodes & set(lab.hosts)
    home = json.loads((fresh_head.home / "jobs" / job / "outputs" / "results" / "accuracy.json").read_text())
    assert home["ranks"] == 4 and home["accuracy"] >= home["goal"] == 0.95
    assert fresh_head.client.job(taken)["word"] == "RUNNING"
    until(lambda: not site.rented(), what="the machines to be given back")
    until(lambda: not fresh_head.client.machines()["machines"], what="the store to know it")
    assert len(fresh_head.client.machines(every=True)["machines"]) == 2  # nobody bought more than the gang
    [line] = fresh_head.client.cost(by="job")["lines"]
    assert (line["name"], line["machines"]) == (job, 2)


def fill(head: RealHead, nodes: int) -> str:
    """The lab is taken, for hours."""
    everything = Resources(all_cpus=True)
    taken = JobSpec(
        "taken", "sleep 7200", min_nodes=nodes, max_nodes=nodes, max_duration_s=7200.0, resources=everything
    )
    job = head.submit(taken)
    head.is_running(job)
    return job
