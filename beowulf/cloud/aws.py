"""Amazon EC2. One RunInstances call carries token, tags and the shutdown behaviour; ids here are ``REGION/i-…``.

Credentials come from boto3's own chain. `Cloud.image` is an AMI, or ``resolve:ssm:/aws/service/…``, which EC2 looks
up in each region. Options, all of which may be left out:

    security_group      must let the head in on port 22; "": the default one of the subnet's VPC
    placement_group     for a gang's network
    address             "private" where the head is inside the VPC, else "public"
    subnet.ZONE         the subnet for that zone; `Cloud.network` is for every zone without one; none: the default one
    image.REGION        the image for that region
    bucket.REGION       inputs of jobs are put there once, and fetched by the machines (`cloud.s3`)
    disk_gib            of the root disk, where that is /dev/sda1 (Ubuntu); "": as large as the image wants it
"""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from beowulf.cloud.aws_errors import HINTS, LOG_IN, code_of, raise_kind, said
from beowulf.cloud.options import check_options, number
from beowulf.cloud.provider import NO_ANSWER, Check, Instance, InstanceState, LaunchRequest
from beowulf.model.cloud import Market, Offer
from beowulf.model.errors import LaunchRefused, TokenSpent
from beowulf.model.renting import Cloud

CLUSTER_TAG, MACHINE_TAG, TOKEN_TAG = "beowulf-cluster", "beowulf-machine", "beowulf-token"
USER = "beowulf"  # as in nodes/cloud-init/aws.yaml
# Retries are the controller's: it commits what it knows between two calls. The token would protect them here, too.
ONCE = {"total_max_attempts": 1, "mode": "standard"}
CONNECT_S, ANSWER_S = 10, 60
NOBODY = "i-00000000000000000"
STATES = {
    "pending": InstanceState.PENDING,
    "running": InstanceState.RUNNING,
    "shutting-down": InstanceState.STOPPING,
    "stopping": InstanceState.STOPPING,
    "stopped": InstanceState.STOPPED,
    "terminated": InstanceState.GONE,
}


class Aws:
    """`Provider` for the cluster of that name."""

    def __init__(self, cloud: Cloud, cluster: str) -> None:
        check_options(cloud)
        self.name = cloud.name
        self._cloud, self._cluster = cloud, cluster
        self._session = boto3.session.Session()
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    def create(self, request: LaunchRequest) -> Instance:
        region = request.offer.region
        try:
            reply = self._client(region).run_instances(**launch(self._cloud, request))
        except (ClientError, BotoCoreError) as error:
            raise_kind("RunInstances", error)
        instance = self._instance(region, reply["Instances"][0])
        if instance.state is InstanceState.GONE:
            raise TokenSpent(f"{instance.instance_id} of this token has ended")
        return instance

    def list(self, regions: Collection[str] = ()) -> Sequence[Instance]:
        """Raises when one region does not answer: half a list would prove machines absent that are not."""
        found = []
        for region in dict.fromkeys((*self._cloud.regions, *regions)):
            pages = self._pages(region, "DescribeInstances")
            found += [
                self._instance(region, row) for page in pages for at in page["Reservations"] for row in at["Instances"]
            ]
            # An image may bring disks that outlive the machine: "Preserve data when an instance is terminated".
            free = {"Name": "status", "Values": ["available"]}
            found += [
                disk(region, row) for page in self._pages(region, "DescribeVolumes", free) for row in page["Volumes"]
            ]
        return found

    def _pages(self, region: str, action: str, *filters: Mapping[str, Any]) -> Sequence[Any]:
        """Of what carries our tag there."""
        client, ours = self._client(region), {"Name": f"tag:{CLUSTER_TAG}", "Values": [self._cluster]}
        verb = "_".join(re.findall("[A-Z][a-z]+", action)).lower()
        try:
            return list(
                client.get_paginator(verb).paginate(Filters=[ours, *filters], PaginationConfig={"PageSize": 1000})
            )
        except (ClientError, BotoCoreError) as error:
            raise_kind(f"{action} in {region}", error)

    def destroy(self, instance_id: str) -> None:
        region, _, own_id = instance_id.partition("/")
        client = self._client(region)
        try:
            if own_id.startswith("vol-"):
                client.delete_volume(VolumeId=own_id)
            else:
                client.terminate_instances(InstanceIds=[own_id])
        except (ClientError, BotoCoreError) as error:
            if code_of(error) not in ("InvalidInstanceID.NotFound", "InvalidVolume.NotFound"):
                raise_kind(f"ending {instance_id}", error)

    def check(self) -> Sequence[Check]:
        checks = [self._who()]
        if checks[0].ok:
            checks += [check for region in self._cloud.regions for check in self._may(region)]
        return checks

    def spot_prices(self, region: str, machine_types: Sequence[str]) -> Mapping[tuple[str, str], float]:
        """(zone, machine type) → dollars an hour now. Raises CloudError."""
        newest: dict[tuple[str, str], tuple[Any, float]] = {}
        try:
            pages = self._client(region).get_paginator("describe_spot_price_history").paginate(
                InstanceTypes=list(machine_types), ProductDescriptions=["Linux/UNIX"], StartTime=datetime.now(UTC)
            )  # fmt: skip
            for row in (row for page in pages for row in page["SpotPriceHistory"]):
                place = (row["AvailabilityZone"], str(row["InstanceType"]))
                price = (row["Timestamp"], float(row["SpotPrice"]))
                newest[place] = max(newest.get(place, price), price)
        except (ClientError, BotoCoreError) as error:
            raise_kind("DescribeSpotPriceHistory", error)
        return {place: price for place, (_, price) in newest.items()}

    def _client(self, region: str) -> Any:
        with self._lock:  # boto3's sessions are not for several threads, its clients are
            if region not in self._clients:
                endpoint = self._cloud.endpoint or None
                self._clients[region] = self._session.client("ec2", region, endpoint_url=endpoint, config=config())
            return self._clients[region]

    def _instance(self, region: str, row: Any) -> Instance:
        tags = tags_in(row)
        inside = self._cloud.options.get("address") == "private"
        address = row.get("PrivateIpAddress", "") if inside else row.get("PublicIpAddress", "")
        return Instance(
            instance_id=f"{region}/{row['InstanceId']}",
            machine_id=tags.get(MACHINE_TAG, ""),
            token=tags.get(TOKEN_TAG, row.get("ClientToken", "")),
            state=STATES[row["State"]["Name"]],
            region=region,
            zone=row.get("Placement", {}).get("AvailabilityZone", ""),
            address=address,
            user=self._cloud.user or USER,
            launched_at=row["LaunchTime"].timestamp(),
        )

    def _who(self) -> Check:
        region, endpoint = self._cloud.regions[0], self._cloud.endpoint or None
        try:
            client = self._session.client("sts", region_name=region, endpoint_url=endpoint, config=config())
            return Check("credentials", True, client.get_caller_identity()["Arn"])
        except (ClientError, BotoCoreError) as error:
            known = isinstance(error, ClientError | NoCredentialsError)
            return Check("credentials", False, said(error), LOG_IN if known else NO_ANSWER)

    def _may(self, region: str) -> Sequence[Check]:
        """Asked with DryRun. Who may end nothing but machines with our tag is told "no" for one that does not exist, so
        that permission is only known once there is a machine."""
        client = self._client(region)
        if not (self._cloud.image or f"image.{region}" in self._cloud.options):
            return [
                Check(f"image in {region}", False, "none is set", "image: resolve:ssm:/aws/service/… in the settings")
            ]
        offer = Offer(self.name, region, "", "t3.micro", 2, 1024)
        request = LaunchRequest("login-check", "login-check", self._cluster, offer, Market.ON_DEMAND, "", "", 0.0, 0.0)
        checks = [
            permission(f"ec2:RunInstances in {region}", client.run_instances, launch(self._cloud, request)),
            permission(f"ec2:DescribeInstances in {region}", client.describe_instances, {}),
            permission(f"ec2:DescribeVolumes in {region}", client.describe_volumes, {}),
        ]
        if all(check.ok for check in checks):
            mine = [one.instance_id for one in self.list() if one.region == region and "/i-" in one.instance_id]
            what, ids = f"ec2:TerminateInstances in {region}", [mine[0].partition("/")[2] if mine else NOBODY]
            check = permission(what, client.terminate_instances, {"InstanceIds": ids})
            unknown = Check(what, True, "only to be known once there is a machine of ours")
            checks.append(check if mine or check.ok else unknown)
        return checks


def disk(region: str, row: Any) -> Instance:
    """One that outlived its machine, or that is not attached yet."""
    tags = tags_in(row)
    name, token = tags.get(MACHINE_TAG, ""), tags.get(TOKEN_TAG, "")
    return Instance(f"{region}/{row['VolumeId']}", name, token, InstanceState.PART, region, row["AvailabilityZone"])


def tags_in(row: Any) -> Mapping[str, str]:
    return {tag["Key"]: tag["Value"] for tag in row.get("Tags", ())}


def launch(cloud: Cloud, request: LaunchRequest) -> dict[str, Any]:
    """RunInstances' arguments: the same request always gives the same ones."""
    offer, tags = request.offer, tags_of(request)
    given: dict[str, Any] = {
        "MinCount": 1,
        "MaxCount": 1,
        "ClientToken": request.token,
        "ImageId": image(cloud, offer.region),
        "InstanceType": offer.machine_type,
        "UserData": request.user_data,
        "InstanceInitiatedShutdownBehavior": "terminate",  # so the dead-man's shutdown also ends the bill
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1},
        "TagSpecifications": [{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")],
        **places(cloud, offer.zone),
    }
    if cloud.options.get("disk_gib"):
        disk = {"VolumeSize": int(number(cloud, "disk_gib")), "VolumeType": "gp3", "DeleteOnTermination": True}
        given["BlockDeviceMappings"] = [{"DeviceName": "/dev/sda1", "Ebs": disk}]
    if request.market is Market.SPOT:
        spot = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
        if request.max_hourly_usd > 0:
            spot["MaxPrice"] = f"{request.max_hourly_usd:.6f}"
        given["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": spot}
    return given


def tags_of(request: LaunchRequest) -> Sequence[Mapping[str, str]]:
    tags = {
        **request.tags,
        "Name": f"beowulf {request.cluster} {request.machine_id}",
        CLUSTER_TAG: request.cluster,
        MACHINE_TAG: request.machine_id,
        TOKEN_TAG: request.token,
    }
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def places(cloud: Cloud, zone: str) -> dict[str, Any]:
    """Zone, subnet and groups. A zone or subnet that is named narrows the token to that zone, so both are part of the
    request that a token stands for."""
    subnet = cloud.options.get(f"subnet.{zone}", cloud.network)
    group, placement = cloud.options.get("security_group", ""), cloud.options.get("placement_group", "")
    named = {**({"AvailabilityZone": zone} if zone else {}), **({"GroupName": placement} if placement else {})}
    placed = {"Placement": named} if named else {}
    if not subnet:
        return {**({"SecurityGroupIds": [group]} if group else {}), **placed}
    # Subnets other than a VPC's default ones give no public address unless they are asked for one.
    interface = {
        "DeviceIndex": 0,
        "SubnetId": subnet,
        "AssociatePublicIpAddress": cloud.options.get("address") != "private",
        "DeleteOnTermination": True,
        **({"Groups": [group]} if group else {}),
    }
    return {"NetworkInterfaces": [interface], **placed}


def image(cloud: Cloud, region: str) -> str:
    found = cloud.options.get(f"image.{region}", cloud.image)
    if not found:
        raise LaunchRefused(f"cloud {cloud.name} has no image for {region}", hint="set image: in the settings file")
    return found


def config() -> Config:
    return Config(retries=ONCE, connect_timeout=CONNECT_S, read_timeout=ANSWER_S)  # type: ignore[arg-type]


def permission(what: str, call: Any, given: Mapping[str, Any]) -> Check:
    """Asked with DryRun, to which "yes" is an error of its own; so is not finding an instance that cannot exist."""
    try:
        call(**given, DryRun=True)
    except (ClientError, BotoCoreError) as error:
        if code_of(error) in ("DryRunOperation", "InvalidInstanceID.NotFound"):
            return Check(what, True, "allowed")
        return Check(what, False, said(error), HINTS.get(code_of(error), ""))
    looked = what.startswith("ec2:Describe")  # some endpoints know no dry run of these, which do nothing in any case
    return Check(what, looked, "allowed" if looked else "answered a dry run as if it had acted")
