"""The AWS provider through the unmodified boto3, against the emulator (what that promises: test_ec2_conformance.py)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from emulator.starting import Emulator, until

from beowulf.cloud import aws
from beowulf.cloud.provider import InstanceState, LaunchRequest
from beowulf.cloud.registry import build
from beowulf.model.cloud import Market, Offer
from beowulf.model.errors import BadInput, CloudError, LaunchRefused, NoCapacity, QuotaReached, TokenSpent, Unclear
from beowulf.model.renting import Cloud

pytestmark = pytest.mark.usefixtures("aws_credentials")
OFFER = Offer("aws", "us-east-1", "us-east-1a", "g4dn.xlarge", 4, 16384, "T4", 1, 16384, 25.0, 0.526, 0.158)
REQUEST = LaunchRequest(
    "t-1", "aws-1", "lab", OFFER, Market.ON_DEMAND, "#cloud-config\n", "ssh-ed25519 AAAA", 900.0, 0.0
)


def provider(emulator: Emulator, cluster: str = "lab", **changes: Any) -> aws.Aws:
    cloud = Cloud("aws", "aws", ("us-east-1", "eu-west-1"), image="ami-1", endpoint=emulator.url)
    made = build(replace(cloud, **changes), cluster)
    assert isinstance(made, aws.Aws)
    return made


@pytest.fixture(scope="module")
def _cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    emulator = Emulator.start(tmp_path_factory.mktemp("ec2"), "ec2")
    yield emulator
    emulator.stop()


@pytest.fixture
def ec2(_cloud: Emulator) -> Emulator:
    """An empty cloud whose machines are rows only."""
    _cloud.reset(hosts="none")
    return _cloud


def test_one_machine_comes_and_goes(ec2: Emulator) -> None:
    aws_of_lab = provider(ec2)
    made = aws_of_lab.create(REQUEST)
    assert (made.machine_id, made.token, made.region, made.zone) == ("aws-1", "t-1", "us-east-1", "us-east-1a")
    until(lambda: aws_of_lab.list()[0].state is InstanceState.RUNNING)
    [seen] = aws_of_lab.list()
    assert (seen.instance_id, seen.address, seen.user, seen.port) == (made.instance_id, "127.0.0.1", "beowulf", 22)
    aws_of_lab.destroy(seen.instance_id)
    until(lambda: aws_of_lab.list()[0].state is InstanceState.GONE)
    aws_of_lab.destroy(seen.instance_id)  # of what is gone nothing happens
    ec2.advance(3601)
    assert aws_of_lab.list() == []
    aws_of_lab.destroy(seen.instance_id)


def test_the_launch_is_one_call_that_asks_for_everything(ec2: Emulator) -> None:
    provider(ec2).create(replace(REQUEST, tags={"beowulf-job": "17"}))
    [machine] = ec2.machines()
    assert machine["at_shutdown"] == "terminate"
    assert machine["details"]["tokens_required"] is True
    assert machine["details"]["tags"] == {
        "Name": "beowulf lab aws-1",
        "beowulf-cluster": "lab",
        "beowulf-machine": "aws-1",
        "beowulf-token": "t-1",
        "beowulf-job": "17",
    }
    assert [call["action"] for call in ec2.calls()] == ["RunInstances"]


def test_a_lost_reply_and_a_killed_cloud_leave_one_machine(ec2: Emulator) -> None:
    """F2: the same token again gives the machine that the first call made."""
    ec2.rules(lose_replies=[{"action": "RunInstances", "times": 1}])
    with pytest.raises(Unclear):
        provider(ec2).create(REQUEST)
    ec2.kill()
    with pytest.raises(Unclear):
        provider(ec2).create(REQUEST)
    ec2.restart()
    made = provider(ec2).create(REQUEST)
    assert [f"us-east-1/{machine['id']}" for machine in ec2.machines()] == [made.instance_id]


def test_boto_does_not_call_twice_behind_our_back(ec2: Emulator) -> None:
    ec2.rules(faults=[{"action": "RunInstances", "code": "InternalError", "status": 500, "times": 1}])
    with pytest.raises(Unclear):
        provider(ec2).create(REQUEST)
    assert len(ec2.calls("RunInstances")) == 1


def test_a_token_of_a_terminated_machine_is_spent(ec2: Emulator) -> None:
    """F4."""
    made = provider(ec2).create(REQUEST)
    provider(ec2).destroy(made.instance_id)
    until(lambda: provider(ec2).list()[0].state is InstanceState.GONE)
    with pytest.raises(TokenSpent, match="IdempotentInstanceTerminated"):
        provider(ec2).create(REQUEST)


def test_a_token_goes_with_one_request(ec2: Emulator) -> None:
    """F3: an attempt for another type needs another token."""
    provider(ec2).create(REQUEST)
    with pytest.raises(TokenSpent, match="IdempotentParameterMismatch"):
        provider(ec2).create(replace(REQUEST, offer=replace(OFFER, machine_type="g5.xlarge")))
    assert len(ec2.machines()) == 1


def test_no_capacity_launches_nothing_and_another_zone_does(ec2: Emulator) -> None:
    ec2.rules(capacity={"us-east-1a/g4dn.xlarge": 0})
    with pytest.raises(NoCapacity, match="InsufficientInstanceCapacity"):
        provider(ec2).create(REQUEST)
    made = provider(ec2).create(replace(REQUEST, token="t-2", offer=replace(OFFER, zone="us-east-1b")))
    assert made.zone == "us-east-1b"
    assert len(ec2.machines()) == 1


def test_the_same_token_in_another_zone_would_be_another_machine(ec2: Emulator) -> None:
    """Why an attempt never changes its zone (EC2's zonal idempotency)."""
    provider(ec2).create(REQUEST)
    provider(ec2).create(replace(REQUEST, offer=replace(OFFER, zone="us-east-1b")))
    assert len(ec2.machines()) == 2


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("InsufficientInstanceCapacity", 500, NoCapacity),
        ("SpotMaxPriceTooLow", 400, NoCapacity),
        ("Unsupported", 400, NoCapacity),
        ("VcpuLimitExceeded", 400, QuotaReached),
        ("MaxSpotInstanceCountExceeded", 400, QuotaReached),
        ("InstanceLimitExceeded", 400, QuotaReached),
        ("RequestLimitExceeded", 503, Unclear),
        ("throttled", 503, Unclear),
        ("InternalError", 500, Unclear),
        ("Unavailable", 503, Unclear),
        ("AuthFailure", 401, Unclear),
        ("RequestExpired", 400, Unclear),
        ("UnauthorizedOperation", 403, LaunchRefused),
        ("InvalidAMIID.NotFound", 400, LaunchRefused),
        ("InvalidParameterValue", 400, LaunchRefused),
    ],
)  # fmt: skip
def test_what_a_refusal_means(ec2: Emulator, code: str, status: int, kind: type[CloudError]) -> None:
    ec2.rules(faults=[{"action": "RunInstances", "code": code, "status": status, "times": 1}])
    with pytest.raises(CloudError) as caught:
        provider(ec2).create(REQUEST)
    assert type(caught.value) is kind
    assert ec2.machines() == []


def test_spot_has_its_price_and_its_quota(ec2: Emulator) -> None:
    spot = replace(REQUEST, market=Market.SPOT, max_hourly_usd=0.2)
    provider(ec2).create(spot)
    assert [machine["spot"] for machine in ec2.machines()] == [True]
    with pytest.raises(NoCapacity, match="SpotMaxPriceTooLow"):
        provider(ec2).create(replace(spot, token="t-2", max_hourly_usd=0.01))
    ec2.rules(quota={"spot": 4})
    with pytest.raises(QuotaReached):
        provider(ec2).create(replace(spot, token="t-3"))
    prices = provider(ec2).spot_prices("us-east-1", ["g4dn.xlarge"])
    assert prices[("us-east-1a", "g4dn.xlarge")] == 0.158


def test_only_this_clusters_machines_of_every_region_page_after_page(ec2: Emulator) -> None:
    """F7, and lists longer than a page."""
    mine, theirs = provider(ec2), provider(ec2, "another-lab")
    for number in range(3):
        mine.create(replace(REQUEST, token=f"t-{number}", machine_id=f"aws-{number}"))
    mine.create(replace(REQUEST, token="t-eu", machine_id="aws-9", offer=replace(OFFER, region="eu-west-1", zone="")))
    theirs.create(replace(REQUEST, token="t-theirs", cluster="another-lab"))
    raw = boto3.client("ec2", region_name="us-east-1", endpoint_url=ec2.url)
    raw.run_instances(ImageId="ami-1", InstanceType="t3.micro", MinCount=1, MaxCount=1)
    assert "aws-9" in [one.machine_id for one in provider(ec2, regions=("us-east-1",)).list(["eu-west-1"])]
    ec2.rules(largest_page=1)
    assert sorted(one.machine_id for one in mine.list()) == ["aws-0", "aws-1", "aws-2", "aws-9"]
    assert [one.instance_id.partition("/")[0] for one in mine.list() if one.machine_id == "aws-9"] == ["eu-west-1"]


def test_half_a_list_is_no_list(ec2: Emulator) -> None:
    provider(ec2).create(REQUEST)
    ec2.rules(faults=[{"action": "DescribeInstances", "code": "InternalError", "status": 500, "times": 1}])
    with pytest.raises(Unclear):
        provider(ec2).list()


def test_a_fresh_machine_is_not_listed_and_not_found(ec2: Emulator) -> None:
    """F6: what the provider must let its caller know of, since neither a list nor a NotFound proves absence then."""
    ec2.rules(unlisted_s=600)
    made = provider(ec2).create(REQUEST)
    assert provider(ec2).list() == []
    provider(ec2).destroy(made.instance_id)
    ec2.advance(601)
    until(lambda: [one.state for one in provider(ec2).list()] == [InstanceState.RUNNING])


def test_login_check_says_who_we_are_and_what_we_may(ec2: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = provider(ec2).check()
    assert all(check.ok for check in checks)
    assert checks[0].detail == "arn:aws:iam::111122223333:user/akiaemulated"
    assert [check.what for check in checks[1:]] == [
        f"ec2:{action} in {region}"
        for region in ("us-east-1", "eu-west-1")
        for action in ("RunInstances", "DescribeInstances", "DescribeVolumes", "TerminateInstances")
    ]
    assert ec2.machines() == []
    ec2.rules(denied=["RunInstances"])
    assert [check.what for check in provider(ec2).check() if not check.ok] == [
        "ec2:RunInstances in us-east-1",
        "ec2:RunInstances in eu-west-1",
    ]
    ec2.rules(denied=[])
    [bad, *_] = [check for check in provider(ec2, options={"security_group": "sg-none"}).check() if not check.ok]
    assert "InvalidGroup.NotFound" in bad.detail
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAINVALID")
    [who] = provider(ec2).check()
    assert not who.ok and "InvalidClientTokenId" in who.detail and "aws configure" in who.remedy
    [who] = provider(ec2, endpoint="http://127.0.0.1:9").check()
    assert not who.ok and "Could not connect" in who.detail and "network" in who.remedy


def test_the_permission_to_end_is_known_once_there_is_a_machine(ec2: Emulator) -> None:
    """The policy that ships allows it for machines with our tag only, so for none that does not exist."""
    ec2.rules(denied=["TerminateInstances"])
    assert all(check.ok for check in provider(ec2).check())
    provider(ec2).create(REQUEST)
    [bad] = [check for check in provider(ec2).check() if not check.ok]
    assert bad.what == "ec2:TerminateInstances in us-east-1"


def test_without_credentials_it_says_so(ec2: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    [who] = provider(ec2).check()
    assert not who.ok and "credentials" in who.detail
    with pytest.raises(LaunchRefused):
        provider(ec2).create(REQUEST)


def test_groups_and_subnets_by_zone(ec2: Emulator) -> None:
    raw = boto3.client("ec2", region_name="us-east-1", endpoint_url=ec2.url)
    group = raw.create_security_group(GroupName="beowulf", Description="ssh from the head")["GroupId"]
    raw.create_placement_group(GroupName="gang", Strategy="cluster")
    options = {"security_group": group, "placement_group": "gang", "subnet.us-east-1b": "subnet-us-east-1b"}
    placed = provider(ec2, options=options)
    placed.create(replace(REQUEST, offer=replace(OFFER, zone="us-east-1b")))
    [machine] = ec2.machines()
    assert machine["zone"] == "us-east-1b"
    for address, public in (("public", True), ("private", False)):
        cloud = Cloud("aws", "aws", ("us-east-1",), "subnet-us-east-1a", image="ami-1", options={"address": address})
        [interface] = aws.launch(cloud, REQUEST)["NetworkInterfaces"]
        assert (interface["AssociatePublicIpAddress"], interface["DeleteOnTermination"]) == (public, True)
    assert (machine["details"]["groups"], machine["details"]["placement_group"]) == ([group], "gang")


def test_options_that_nobody_knows_are_refused(ec2: Emulator) -> None:
    with pytest.raises(BadInput, match="secruity_group"):
        provider(ec2, options={"secruity_group": "sg-1"})
    with pytest.raises(BadInput, match="disk_gib"):
        provider(ec2, options={"disk_gib": "100 GB"})
    with pytest.raises(BadInput, match="region"):
        provider(ec2, regions=())
    with pytest.raises(LaunchRefused, match="no image"):
        provider(ec2, image="").create(REQUEST)
    assert [check.what for check in provider(ec2, image="").check() if not check.ok] == [
        "image in us-east-1",
        "image in eu-west-1",
    ]


def test_what_mends_a_refused_list_is_said(ec2: Emulator) -> None:
    ours = provider(ec2, regions=("us-east-1",))
    for code, mend in (("ExpiredToken", "aws configure"), ("UnauthorizedOperation", "aws-launch.json")):
        ec2.rules(faults=[{"action": "DescribeVolumes", "code": code, "status": 403, "times": 1}])
        with pytest.raises(CloudError) as caught:
            ours.list()
        assert code in caught.value.message and mend in caught.value.hint
