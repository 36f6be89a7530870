"""Bursting for real: the daemon, an emulated EC2 with real hosts behind it, jobs that find no room in the lab."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from emulator.starting import Emulator, until
from real_head import RealHead

from beowulf.model.job import Burst, JobSpec

pytestmark = [pytest.mark.root, pytest.mark.cluster, pytest.mark.usefixtures("aws_credentials")]

SETTINGS = """
heartbeat_s: 1s
clouds:
  aws: {{regions: [us-east-1], endpoint: "{url}", image: ami-1, options: {{address: private}}}}
burst:
  budget: {{month: 5.00}}
  lease: 60s
  idle_release: 3s
  ready_timeout: 120s
  grace: 5s
  list_every: 2s
"""


@pytest.fixture
def ec2(cloud: Callable[..., Emulator]) -> Emulator:
    return cloud("ec2", boot_s=0.5)


@pytest.fixture
def bursting(tmp_path: Path, ec2: Emulator) -> Iterator[RealHead]:
    home = tmp_path / "head"
    home.mkdir()
    (home / "settings.yaml").write_text(SETTINGS.format(url=ec2.url))
    head = RealHead(home)
    head.up()
    yield head
    head.down()


def spec(script: str, nodes: int = 1, **more: Any) -> JobSpec:
    return JobSpec("burst", script, min_nodes=nodes, max_nodes=nodes, max_duration_s=120.0, burst=Burst("prefer", use_spot=False), **more)


def test_a_gang_runs_on_rented_machines_and_they_are_gone_afterwards(bursting: RealHead, ec2: Emulator) -> None:
    job = bursting.submit(spec("hostname; id -un", nodes=2))
    done = bursting.ended(job, 120)
    assert done["word"] == "COMPLETED", done["reason"] + bursting.log()
    assert len(ec2.machines()) == 2
    until(lambda: not ec2.live(), 60, "the machines to be given back")
    until(lambda: not bursting.client.machines()["machines"], 60, "the store to know it")
    assert bursting.client.nodes() == []
    assert not list((bursting.home / "machine-keys").iterdir())
    [line] = bursting.client.cost(by="job")["lines"]
    assert (line["name"], line["machines"]) == (job, 2) and line["cost_usd"] > 0
