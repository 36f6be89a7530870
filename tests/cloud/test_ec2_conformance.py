"""What the emulated EC2, STS and S3 promise, item by item, each read from AWS's documentation (as of 2026) and asked
for through the unmodified boto3.

| item | page |
|---|---|
| same token, same parameters: the same instance | EC2 Developer Guide, "Ensuring idempotency" |
| same token, other parameters: IdempotentParameterMismatch | the same |
| a named zone or subnet makes the token zonal, else it is regional | the same, "RunInstances idempotency" |
| a token has up to 64 characters, and comes back in DescribeInstances | the same, "Client tokens" |
| a token whose instance was terminated: IdempotentInstanceTerminated | EC2 API Reference, "Error codes" |
| TerminateInstances is idempotent by default | EC2 Developer Guide, "Ensuring idempotency" |
| the private address is in the reply to the launch | EC2 User Guide, "EC2 instance IP addressing" |
| a fresh instance may not be listed and not be found | EC2 Developer Guide, "Eventual consistency" |
| a terminated instance stays visible for about an hour | EC2 User Guide, "Terminate Amazon EC2 instances" |
| DryRun: DryRunOperation where allowed, UnauthorizedOperation where not | EC2 API Reference, RunInstances, DryRun |
| InsufficientInstanceCapacity is a server error (500), quotas are client errors | EC2 API Reference, "Error codes" |
| RequestLimitExceeded comes with 503 | EC2 Developer Guide, "Request throttling" |
| lists filter by tag, state and token with * and ?, and come in pages of 5 to 1000 | API Reference, DescribeInstances |
| tags in the launch call are there from the start; CreateTags adds | API Reference, TagSpecification, CreateTags |
| user data has at most 16 KB | EC2 User Guide, "Run commands at launch" |
| a price below the market: SpotMaxPriceTooLow | EC2 User Guide, "Spot Instance request status" |
| shutting down from inside ends or stops by InstanceInitiatedShutdownBehavior | EC2 User Guide, the page of that name |
| metadata wants a token with HttpTokens=required; a token wants PUT and 1…21600 s | User Guide, "Use IMDS" |
| spot/instance-action: 404, or action and time | EC2 User Guide, "Spot Instance interruption notices" |
| a root volume goes with its instance, a data volume that the image keeps becomes ``available`` | EC2 User Guide,
  "Preserve data when an instance is terminated" |
| a volume in use: VolumeInUse; one that is gone: InvalidVolume.NotFound | EC2 API Reference, "Error codes" |
| a group in use: DependencyViolation | EC2 API Reference, "Error codes" |
| no signature: MissingAuthenticationToken; an unknown key: AuthFailure | EC2 API Reference, "Error codes" |
| multipart uploads, ranges, presigned URLs | S3 User Guide |
"""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError
from emulator.imds import TOKEN, TTL, Metadata
from emulator.messages import Request
from emulator.starting import Emulator, until
from emulator.world import World

pytestmark = pytest.mark.usefixtures("aws_credentials")
ONCE = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})


@pytest.fixture(scope="module")
def _cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    emulator = Emulator.start(tmp_path_factory.mktemp("ec2"), "ec2", hosts="none")
    yield emulator
    emulator.stop()


@pytest.fixture
def emulator(_cloud: Emulator) -> Emulator:
    _cloud.reset(hosts="none")
    return _cloud


@pytest.fixture
def ec2(emulator: Emulator) -> Any:
    return client(emulator)


def client(emulator: Emulator, service: str = "ec2", region: str = "us-east-1") -> Any:
    config = ONCE.merge(Config(signature_version="s3v4")) if service == "s3" else ONCE
    return boto3.client(service, region_name=region, endpoint_url=emulator.url, config=config)


def launch(client: Any, **more: Any) -> str:
    given = {"ImageId": "ami-1", "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1, **more}
    return str(client.run_instances(**given)["Instances"][0]["InstanceId"])


def refused(call: Any, *given: Any, **more: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(*given, **more)
    response = caught.value.response
    return str(response["Error"]["Code"]), int(response["ResponseMetadata"]["HTTPStatusCode"])


def listed(client: Any, **given: Any) -> list[str]:
    pages = client.get_paginator("describe_instances").paginate(**given)
    return [row["InstanceId"] for page in pages for part in page["Reservations"] for row in part["Instances"]]


def by_tag(value: str) -> list[dict[str, Any]]:
    return [{"Name": "tag:team", "Values": [value]}]


def tagged(value: str) -> list[dict[str, Any]]:
    return [{"ResourceType": "instance", "Tags": [{"Key": "team", "Value": value}]}]


def test_tokens(ec2: Any, emulator: Emulator) -> None:
    first = launch(ec2, ClientToken="a")
    assert launch(ec2, ClientToken="a") == first
    assert refused(launch, ec2, ClientToken="a", InstanceType="m5.large") == ("IdempotentParameterMismatch", 400)
    assert refused(launch, ec2, ClientToken="x" * 65)[1] == 400
    assert listed(ec2, Filters=[{"Name": "client-token", "Values": ["a"]}]) == [first]
    # Regional and zonal scopes: neither another region nor a named zone is the same request.
    assert launch(client(emulator, region="eu-west-1"), ClientToken="a") != first
    zone_b = {"Placement": {"AvailabilityZone": "us-east-1b"}}
    in_b = launch(ec2, ClientToken="a", **zone_b)
    assert in_b != first and launch(ec2, ClientToken="a", **zone_b) == in_b
    assert launch(ec2, ClientToken="a", SubnetId="subnet-us-east-1c") not in (first, in_b)
    ec2.terminate_instances(InstanceIds=[first])
    until(lambda: ec2.describe_instances(InstanceIds=[first])["Reservations"][0]["Instances"][0]["State"]["Code"] == 48)
    assert refused(launch, ec2, ClientToken="a")[0] == "IdempotentInstanceTerminated"


def test_an_end_may_be_asked_for_again_and_stays_visible_for_an_hour(ec2: Any, emulator: Emulator) -> None:
    instance_id = launch(ec2)
    for _ in range(2):
        [change] = ec2.terminate_instances(InstanceIds=[instance_id])["TerminatingInstances"]
    assert change["CurrentState"]["Name"] in ("shutting-down", "terminated")
    until(lambda: emulator.machines()[0]["state"] == "terminated")
    assert listed(ec2) == [instance_id]
    emulator.advance(3601)
    assert listed(ec2) == []
    assert refused(ec2.terminate_instances, InstanceIds=[instance_id]) == ("InvalidInstanceID.NotFound", 400)


def test_eventual_consistency(ec2: Any, emulator: Emulator) -> None:
    emulator.rules(unlisted_s=600)
    instance_id = launch(ec2)
    assert listed(ec2) == []
    assert refused(ec2.describe_instances, InstanceIds=[instance_id])[0] == "InvalidInstanceID.NotFound"
    emulator.advance(601)
    assert listed(ec2) == [instance_id]


def test_dry_runs(ec2: Any, emulator: Emulator) -> None:
    assert refused(launch, ec2, DryRun=True) == ("DryRunOperation", 412)
    assert refused(launch, ec2, DryRun=True, ImageId="ami-0none")[0] == "InvalidAMIID.NotFound"
    emulator.rules(denied=["RunInstances"])
    assert refused(launch, ec2, DryRun=True) == ("UnauthorizedOperation", 403)
    assert refused(launch, ec2) == ("UnauthorizedOperation", 403)
    assert emulator.machines() == []


def test_capacity_quota_and_throttle(ec2: Any, emulator: Emulator) -> None:
    emulator.rules(capacity={"*/t3.micro/spot": 0}, quota={"on-demand": 2, "spot": 8})
    assert refused(launch, ec2, InstanceMarketOptions={"MarketType": "spot"}) == ("InsufficientInstanceCapacity", 500)
    launch(ec2)
    assert refused(launch, ec2) == ("VcpuLimitExceeded", 400)
    emulator.rules(quota={"machines": 1})
    assert refused(launch, ec2) == ("InstanceLimitExceeded", 400)
    emulator.rules(quota={}, requests_per_s=0.001)
    assert refused(launch, ec2) == ("RequestLimitExceeded", 503)


def test_volumes(ec2: Any) -> None:
    instances = [launch(ec2), launch(ec2, ImageId="ami-0data")]
    volumes = ec2.describe_volumes()["Volumes"]
    assert [one["State"] for one in volumes] == ["in-use"] * 3
    assert refused(ec2.delete_volume, VolumeId=volumes[0]["VolumeId"]) == ("VolumeInUse", 400)
    ec2.terminate_instances(InstanceIds=instances)
    free = [{"Name": "status", "Values": ["available"]}]
    [left] = until(lambda: ec2.describe_volumes(Filters=free)["Volumes"])
    until(lambda: len(ec2.describe_volumes()["Volumes"]) == 1)
    ec2.delete_volume(VolumeId=left["VolumeId"])
    assert refused(ec2.delete_volume, VolumeId=left["VolumeId"]) == ("InvalidVolume.NotFound", 400)


def test_lists_tags_and_pages(ec2: Any, emulator: Emulator) -> None:
    blue = [launch(ec2, TagSpecifications=tagged("blue")) for _ in range(6)]
    red = launch(ec2, TagSpecifications=tagged("red"))
    assert sorted(listed(ec2, Filters=by_tag("blue"))) == sorted(blue)
    assert listed(ec2, Filters=by_tag("r?d")) == [red]
    assert len(listed(ec2, Filters=by_tag("*"), PaginationConfig={"PageSize": 5})) == 7
    assert len(emulator.calls("DescribeInstances")) == 2 + 2
    assert refused(ec2.describe_instances, MaxResults=4)[0] == "InvalidParameterValue"
    ec2.create_tags(Resources=[red], Tags=[{"Key": "team", "Value": "green"}])
    assert listed(ec2, Filters=by_tag("green")) == [red]
    until(lambda: len(listed(ec2, Filters=[{"Name": "instance-state-name", "Values": ["running"]}])) == 7)
    assert listed(client(emulator, region="eu-west-1")) == []


def test_what_a_launch_refuses(ec2: Any) -> None:
    assert refused(launch, ec2, UserData="x" * 16_385)[0] == "InvalidParameterValue"
    assert refused(launch, ec2, InstanceType="t9.nano")[0] == "InvalidParameterValue"
    assert refused(launch, ec2, ImageId="img-1")[0] == "InvalidAMIID.Malformed"
    assert refused(launch, ec2, SecurityGroupIds=["sg-none"])[0] == "InvalidGroup.NotFound"
    assert refused(launch, ec2, Placement={"GroupName": "none"})[0] == "InvalidPlacementGroup.Unknown"
    low = {"MarketType": "spot", "SpotOptions": {"MaxPrice": "0.0001"}}
    assert refused(launch, ec2, InstanceMarketOptions=low)[0] == "SpotMaxPriceTooLow"
    elsewhere = {"SubnetId": "subnet-us-east-1a", "Placement": {"AvailabilityZone": "us-east-1b"}}
    assert refused(launch, ec2, **elsewhere)[0] == "InvalidParameterValue"


def test_groups_types_and_prices(ec2: Any) -> None:
    group = ec2.create_security_group(GroupName="ssh", Description="from the head")["GroupId"]
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "192.0.2.1/32"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    again = refused(ec2.authorize_security_group_ingress, GroupId=group, IpPermissions=[rule])
    assert again[0] == "InvalidPermission.Duplicate"
    [seen] = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert seen["IpPermissions"][0]["FromPort"] == 22
    launch(ec2, SecurityGroupIds=[group])
    assert refused(ec2.delete_security_group, GroupId=group)[0] == "DependencyViolation"
    ec2.create_placement_group(GroupName="gang", Strategy="cluster")
    assert ec2.describe_placement_groups(GroupNames=["gang"])["PlacementGroups"][0]["Strategy"] == "cluster"
    ec2.delete_placement_group(GroupName="gang")
    assert refused(ec2.describe_placement_groups, GroupNames=["gang"])[0] == "InvalidPlacementGroup.Unknown"
    [kind] = ec2.describe_instance_types(InstanceTypes=["g4dn.xlarge"])["InstanceTypes"]
    assert (kind["VCpuInfo"]["DefaultVCpus"], kind["GpuInfo"]["Gpus"][0]["Name"]) == (4, "T4")
    offered = ec2.describe_instance_type_offerings(
        LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": ["g5.xlarge"]}]
    )["InstanceTypeOfferings"]
    assert [one["Location"] for one in offered] == ["us-east-1a", "us-east-1b", "us-east-1c"]
    prices = ec2.describe_spot_price_history(InstanceTypes=["g5.xlarge"])["SpotPriceHistory"]
    assert {float(one["SpotPrice"]) for one in prices} == {0.4}


def test_who_signs(ec2: Any, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client(emulator, "sts").get_caller_identity()["Account"] == "111122223333"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(emulator.url, data=b"Action=DescribeInstances")
    assert b"MissingAuthenticationToken" in caught.value.read()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAINVALID")
    session = boto3.session.Session()
    stranger = session.client("ec2", region_name="us-east-1", endpoint_url=emulator.url, config=ONCE)
    assert refused(stranger.describe_instances) == ("AuthFailure", 403)


def test_metadata_wants_tokens(tmp_path: Any) -> None:
    world = World(tmp_path)
    world.set_rules({"hosts": "none"})
    details = {"region": "us-east-1", "tokens_required": True}
    machine = world.launch(
        "i-1", zone="us-east-1a", machine_type="t3.micro", spot=True, size=2, user_data="#x", details=details
    )
    metadata = Metadata(world)

    def ask(path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        reply = metadata.answer(machine, Request(method, "/latest/" + path, {}, named, b""))
        return reply.status, reply.body.decode()

    assert ask("meta-data/instance-id")[0] == 401
    assert ask("api/token")[0] == 405
    assert ask("api/token", "PUT")[0] == 400
    assert ask("api/token", "PUT", **{TTL: "21601"})[0] == 400
    assert ask("api/token", "PUT", **{TTL: "60", "x-forwarded-for": "192.0.2.1"})[0] == 403
    status, token = ask("api/token", "PUT", **{TTL: "60"})
    assert status == 200
    assert ask("meta-data/instance-id", **{TOKEN: token}) == (200, "i-1")
    assert ask("user-data", **{TOKEN: token}) == (200, "#x")
    assert ask("meta-data/spot/instance-action", **{TOKEN: token})[0] == 404
    world.reclaim(machine, 120)
    assert '"action": "terminate"' in ask("meta-data/spot/instance-action", **{TOKEN: token})[1]
    assert ask("meta-data/iam/security-credentials/", **{TOKEN: token})[0] == 404


def test_objects(emulator: Emulator, tmp_path: Any) -> None:
    s3 = client(emulator, "s3")
    s3.create_bucket(Bucket="lab")
    s3.put_object(Bucket="lab", Key="a/small file", Body=b"hello")
    assert s3.get_object(Bucket="lab", Key="a/small file")["Body"].read() == b"hello"
    assert s3.get_object(Bucket="lab", Key="a/small file", Range="bytes=1-2")["Body"].read() == b"el"
    assert refused(s3.get_object, Bucket="lab", Key="none") == ("NoSuchKey", 404)
    assert refused(s3.put_object, Bucket="none", Key="a", Body=b"") == ("NoSuchBucket", 404)
    large = tmp_path / "large"
    large.write_bytes(bytes(range(256)) * 50_000)
    parts = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
    s3.upload_file(str(large), "lab", "a/large", Config=parts)
    s3.download_file("lab", "a/large", str(tmp_path / "back"), Config=parts)
    assert (tmp_path / "back").read_bytes() == large.read_bytes()
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket="lab", Prefix="a/")["Contents"]]
    assert keys == ["a/large", "a/small file"]
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="lab", PaginationConfig={"PageSize": 1})
    assert [one["Key"] for page in pages for one in page["Contents"]] == ["a/large", "a/small file"]
    url = s3.generate_presigned_url("get_object", {"Bucket": "lab", "Key": "a/small file"}, ExpiresIn=600)
    assert urllib.request.urlopen(url).read() == b"hello"
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(url.split("?")[0])
    emulator.advance(601)
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(url)
    s3.delete_object(Bucket="lab", Key="a/large")
    assert refused(s3.head_object, Bucket="lab", Key="a/large")[1] == 404
