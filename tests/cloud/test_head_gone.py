"""F8: the head dies for ever, with all it knew, while a gang runs on rented machines of the emulated EC2."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from emulator.starting import Emulator, until
from real_head import RealHead
from test_burst import SETTINGS, spec

LEASE_S = 60  # the shortest that settings allow
pytestmark = [pytest.mark.root, pytest.mark.cluster, pytest.mark.usefixtures("aws_credentials")]


@pytest.mark.slow
def test_its_machines_end_themselves_within_their_lease(cloud: Callable[..., Emulator], tmp_path: Path) -> None:
    """The short form, with a lease of seconds and no head at all, is in test_cloud_init.py."""
    ec2 = cloud("ec2")
    home = tmp_path / "head"
    home.mkdir()
    (home / "settings.yaml").write_text(SETTINGS.format(url=ec2.url))
    head = RealHead(home)
    head.up()
    head.is_running(head.submit(spec("sleep 1000", nodes=2)), 120)
    head.kill()
    shutil.rmtree(home)
    so_far = {machine["id"]: machine["billed_s"] for machine in ec2.machines()}
    until(lambda: not ec2.live(), LEASE_S + 60, "the machines to end themselves")
    ended = ec2.machines()
    assert len(ended) == len(so_far) == 2
    for machine in ended:
        assert machine["reason"] == "shut down from inside"
        assert machine["billed_s"] <= so_far[machine["id"]] + LEASE_S + 30
