"""The permissions to paste in nodes/policies: an account that has them, and no other, can do all that a head does, and
each of them is needed for it. The emulated clouds take what the vendors say a call takes (emulator/permissions.py)."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.config import Config
from emulator.starting import Emulator
from launching import Launching
from test_aws import OFFER as AWS_OFFER
from test_azure import OFFER as AZURE_OFFER
from test_azure import azure_credentials
from test_azure import provider as azure
from test_gcp import OFFER as GCP_OFFER
from test_gcp import google_credentials
from test_gcp import provider as gcp

from beowulf.cloud import registry
from beowulf.cloud.aws import Aws
from beowulf.cloud.gcp import PERMISSIONS
from beowulf.model.errors import LaunchRefused, NoCapacity
from beowulf.model.renting import Cloud

__all__ = ["azure_credentials", "google_credentials"]
pytestmark = pytest.mark.usefixtures("aws_credentials")
Start = Callable[..., Emulator]
POLICIES = Path(__file__).resolve().parents[2] / "nodes" / "policies"
STAGED = os.urandom(9 << 20)  # more than one part


def read(name: str) -> Any:
    text = (POLICIES / name).read_text()
    return json.loads(text) if name.endswith(".json") else yaml.safe_load(text)


def of_aws(name: str) -> set[str]:
    actions = [one["Action"] for one in read(name)["Statement"]]
    return {name for one in actions for name in ([one] if isinstance(one, str) else one)}


def test_of_aws(cloud: Start, tmp_path: Path) -> None:
    granted = of_aws("aws-launch.json")
    emulator = cloud("ec2", hosts="none", allowed=sorted(granted))
    image = "resolve:ssm:/aws/service/canonical/ubuntu"
    ours = Aws(Cloud("aws", "aws", ("us-east-1",), image=image, endpoint=emulator.url), "cafe")
    launching = Launching(tmp_path, AWS_OFFER)
    made = ours.create(launching.request("t1"))
    assert all(check.ok for check in ours.check())
    ours.spot_prices("us-east-1", ["g5.xlarge"])
    ours.destroy(made.instance_id)
    ours.destroy("us-east-1/vol-0")  # of a disk that is gone nothing happens
    assert emulator.needed() == granted
    emulator.rules(allowed=sorted(granted - {"ec2:CreateTags"}))
    with pytest.raises(LaunchRefused, match="CreateTags") as caught:
        ours.create(launching.request("t2"))
    assert "aws-launch.json" in caught.value.hint


def test_of_aws_for_a_bucket(cloud: Start, tmp_path: Path) -> None:
    granted = of_aws("aws-stage.json")
    emulator = cloud("ec2", hosts="none")
    path_style = Config(s3={"addressing_style": "path"})
    boto3.client("s3", region_name="us-east-1", endpoint_url=emulator.url, config=path_style).create_bucket(
        Bucket="inputs"
    )
    emulator.rules(allowed=sorted(granted))
    ours = Cloud("aws", "aws", ("us-east-1",), endpoint=emulator.url, options={"bucket.us-east-1": "inputs"})
    (tmp_path / "large").write_bytes(STAGED)
    for _ in range(2):
        registry.depots([ours], "cafe")["aws:us-east-1"].link("0" * 64, tmp_path / "large")
    depot = registry.depots([ours], "cafe")["aws:us-east-1"]
    depot._client().create_multipart_upload(Bucket="inputs", Key="beowulf/cafe/broken")  # type: ignore[attr-defined]
    assert depot.drop(time.time() + 60.0) == 2
    assert emulator.needed() == granted


def test_of_google(cloud: Start, tmp_path: Path, google_credentials: Path) -> None:
    granted = set(read("gcp-role.yaml")["includedPermissions"])
    assert set(PERMISSIONS) == granted  # so login-check asks for all of them
    emulator = cloud("gcp", hosts="none", allowed=sorted(granted))
    account = json.loads(google_credentials.read_text())
    google_credentials.write_text(json.dumps({**account, "token_uri": f"{emulator.url}/token"}))
    ours = gcp(emulator, service_account="beowulf-machine@emulated.iam.gserviceaccount.com")
    launching = Launching(tmp_path, replace(GCP_OFFER, zone=""))
    made = ours.create(launching.request("t1"))
    assert [one.token for one in ours.list()] == ["t1"] and all(check.ok for check in ours.check())
    ours.destroy(made.instance_id)
    ours.destroy("us-central1-a/disks/gone")
    assert emulator.needed() == granted
    emulator.rules(allowed=sorted(granted - {"compute.instances.setServiceAccount"}))
    with pytest.raises(LaunchRefused, match=r"compute\.instances\.setServiceAccount") as caught:
        ours.create(launching.request("t2"))
    assert "gcp-role.yaml" in caught.value.hint


def test_of_azure(cloud: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head, quota = read("azure-role.json"), read("azure-quota-role.json")
    granted = {*head["Actions"], *quota["Actions"]}
    # A region's quota is no part of any resource group.
    assert quota["AssignableScopes"] == ["/subscriptions/SUBSCRIPTION"]
    assert head["AssignableScopes"] == ["/subscriptions/SUBSCRIPTION/resourceGroups/GROUP"]
    emulator = cloud("azure", hosts="none", allowed=sorted(granted))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(emulator.certificate))
    ours, launching = azure(emulator), Launching(tmp_path, AZURE_OFFER)
    made = ours.create(launching.request("t1"))
    assert [one.token for one in ours.list()] == ["t1"] and all(check.ok for check in ours.check())
    ours.destroy(made.instance_id)
    emulator.rules(capacity={f"eastus/{AZURE_OFFER.machine_type}": 0})
    with pytest.raises(NoCapacity):  # the parts that were made for it are taken away again
        ours.create(launching.request("t2"))
    ours.destroy("disks/gone")
    assert emulator.needed() == granted
    join = "Microsoft.Network/publicIPAddresses/join/action"
    emulator.rules(capacity={}, allowed=sorted(granted - {join}))
    with pytest.raises(LaunchRefused, match=join) as caught:
        ours.create(launching.request("t3"))
    assert "azure-role.json" in caught.value.hint
