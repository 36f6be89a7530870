"""The AWS provider against moto's server: replies whose shape comes from somebody else's reading of the documentation.

moto keeps no client tokens, so nothing about crashes can be seen here; that is what the emulator is for.
"""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import replace

import boto3
import pytest
from emulator.starting import until
from ports import hold_port

from beowulf.cloud.aws import Aws
from beowulf.cloud.provider import InstanceState, LaunchRequest
from beowulf.model.cloud import Market, Offer
from beowulf.model.renting import Cloud

OFFER = Offer(
    "aws", "us-east-1", "us-east-1a", "g4dn.xlarge", 4, 16384, "T4", 1, hourly_usd=0.526, spot_hourly_usd=0.16
)
REQUEST = LaunchRequest("t-1", "aws-1", "lab", OFFER, Market.ON_DEMAND, "#cloud-config\n", "ssh-ed25519 A", 900.0, 0.5)
pytestmark = pytest.mark.usefixtures("aws_credentials")


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    held = hold_port()
    port = held.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    argv = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with open(tmp_path_factory.mktemp("moto") / "log", "wb") as log:
        server = subprocess.Popen(
            argv, stdout=log, stderr=log, env={**os.environ, "MOTO_EC2_LOAD_DEFAULT_AMIS": "true"}
        )

    def answers() -> bool:
        try:
            return bool(urllib.request.urlopen(url + "/moto-api/", timeout=5).status)
        except OSError:
            return False

    until(answers, what="moto's server does not answer")
    yield url
    server.kill()
    server.wait()
    held.close()


def some_image(moto: str) -> str:
    client = boto3.client("ec2", region_name="us-east-1", endpoint_url=moto)
    return str(client.describe_images(Owners=["amazon"])["Images"][0]["ImageId"])


def test_one_machine_of_each_market_comes_and_goes(moto: str) -> None:
    provider = Aws(Cloud("aws", "aws", ("us-east-1", "eu-west-1"), image=some_image(moto), endpoint=moto), "lab")
    made = provider.create(REQUEST)
    spot = provider.create(replace(REQUEST, token="t-2", machine_id="aws-2", market=Market.SPOT))
    seen = {one.machine_id: one for one in provider.list()}
    assert set(seen) == {"aws-1", "aws-2"}
    assert {one.state for one in seen.values()} == {InstanceState.RUNNING}
    assert seen["aws-1"].instance_id == made.instance_id
    assert (seen["aws-1"].token, seen["aws-1"].zone) == ("t-1", "us-east-1a")
    assert all(one.address for one in seen.values())
    assert Aws(Cloud("aws", "aws", ("us-east-1",), endpoint=moto), "another-lab").list() == []
    for one in (made, spot):
        provider.destroy(one.instance_id)
        provider.destroy(one.instance_id)
    assert {one.state for one in provider.list()} <= {InstanceState.GONE}


def test_its_checks_pass(moto: str) -> None:
    provider = Aws(Cloud("aws", "aws", ("us-east-1",), image=some_image(moto), endpoint=moto), "lab")
    assert [(check.what, check.ok, check.detail) for check in provider.check() if not check.ok] == []


def test_what_it_was_told_arrived(moto: str) -> None:
    """Read back with the same SDK: the launch's options as moto understood them."""
    provider = Aws(Cloud("aws", "aws", ("us-east-1",), image=some_image(moto), endpoint=moto), "lab-2")
    made = provider.create(replace(REQUEST, cluster="lab-2"))
    client = boto3.client("ec2", region_name="us-east-1", endpoint_url=moto)
    own_id = made.instance_id.partition("/")[2]

    def attribute(name: str, key: str) -> str:
        return str(client.describe_instance_attribute(InstanceId=own_id, Attribute=name)[key]["Value"])

    assert attribute("instanceInitiatedShutdownBehavior", "InstanceInitiatedShutdownBehavior") == "terminate"
    [row] = client.describe_instances(InstanceIds=[own_id])["Reservations"][0]["Instances"]
    assert row["MetadataOptions"]["HttpTokens"] == "required"
    assert row["ClientToken"] == "t-1"
