"""What machines leave behind and what is billed on: each vendor's disks are found by our tags, and deleted.

Addresses and interfaces are Azure's alone (tests/cloud/test_azure.py); what is staged: tests/cloud/test_staging.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from emulator.starting import Emulator, until
from launching import Launching
from test_aws import REQUEST
from test_aws import provider as aws
from test_azure import OFFER as AZURE_OFFER
from test_azure import azure_credentials, only, parts, settings
from test_azure import provider as azure
from test_gcp import OFFER as GCP_OFFER
from test_gcp import google_credentials
from test_gcp import provider as gcp

from beowulf.cloud.azure import Azure
from beowulf.cloud.provider import InstanceState, Provider
from beowulf.model.errors import Unclear

__all__ = ["azure_credentials", "google_credentials"]
Start = Callable[..., Emulator]


def left_of(ours: Provider) -> list[Any]:
    return [one for one in ours.list() if one.state is InstanceState.PART]


def test_of_amazon_a_disk_that_the_image_keeps(cloud: Start, aws_credentials: None) -> None:
    """An image may bring disks that are to stay when the machine goes; they are billed until somebody deletes them."""
    ec2 = cloud("ec2", hosts="none")
    ours = aws(ec2, image="ami-0data")
    for number in range(3):
        made = ours.create(replace(REQUEST, token=f"t-{number}", machine_id=f"aws-{number}"))
        ours.destroy(made.instance_id)
    aws(ec2, "another-lab", image="ami-0data").create(replace(REQUEST, token="theirs", cluster="another-lab"))
    until(lambda: len(left_of(ours)) == 3, what="the machines to be gone")
    ec2.rules(largest_page=1)
    assert sorted(one.token for one in left_of(ours)) == ["t-0", "t-1", "t-2"]
    ec2.rules(lose_replies=[{"action": "DeleteVolume", "times": 1}])
    with pytest.raises(Unclear):
        ours.destroy(left_of(ours)[0].instance_id)
    for one in left_of(ours):
        assert (one.region, one.zone, one.machine_id) == ("us-east-1", "us-east-1a", f"aws-{one.token[-1]}")
        ours.destroy(one.instance_id)
        ours.destroy(one.instance_id)
    assert left_of(ours) == []


def test_of_google_a_disk_that_somebody_kept(cloud: Start, tmp_path: Path) -> None:
    """Somebody had switched off that it goes with its machine."""
    emulator = cloud("gcp", hosts="none", page_size=1)
    ours, launching = gcp(emulator), Launching(tmp_path, GCP_OFFER)
    made = ours.create(launching.request("t1"))
    ours.create(launching.request("t2"))
    zone, _, name = made.instance_id.partition("/")
    where: Any = {"project": "emulated", "zone": zone, "instance": name, "device_name": "persistent-disk-0"}
    ours._instances.set_disk_auto_delete_unary(**where, auto_delete=False)
    assert sorted(one.token for one in ours.list()) == ["t1", "t2"]
    for one in ours.list():
        ours.destroy(one.instance_id)
    until(lambda: [one.state for one in ours.list()] == [InstanceState.PART], what="the machines to be gone")
    left = only(ours.list())
    assert (left.token, left.machine_id, left.zone) == ("t1", "gcp-1", zone) and gcp(emulator, "Cafe").list() == []
    for _ in range(2):
        ours.destroy(left.instance_id)
    assert ours.list() == []


def test_of_azure_a_disk_that_the_image_brought(cloud: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Azure only detaches it when its machine goes."""
    emulator = cloud("azure", hosts="none")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(emulator.certificate))
    launching = Launching(tmp_path, AZURE_OFFER)
    ours = Azure(replace(settings(emulator), image="/subscriptions/s/images/with-data"), "cafe")
    made = ours.create(launching.request("t1"))
    assert [one.instance_id for one in ours.list()] == [made.instance_id] and len(parts(ours)) == 4
    ours.destroy(made.instance_id)
    until(lambda: [one.state for one in ours.list()] == [InstanceState.PART], what="the machine to be gone")
    left = only(ours.list())
    assert (left.token, left.machine_id) == ("t1", "azure-1") and azure(emulator, "beef").list() == []
    for _ in range(2):
        ours.destroy(left.instance_id)
    assert ours.list() == [] and parts(ours) == []
