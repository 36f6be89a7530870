"""Zones, subnets, security and placement groups, instance types and spot prices."""

from __future__ import annotations

import hashlib
from typing import Any

from emulator.aws_wire import AwsError, iso
from emulator.ec2_instances import ZONES
from emulator.ec2_types import TYPES
from emulator.world import LIVE, World


def describe_zones(world: World, given: dict[str, Any], region: str) -> dict[str, Any]:
    zones = [{"zoneName": region + zone, "zoneState": "available", "regionName": region} for zone in ZONES]
    return {"availabilityZoneInfo": zones}


def describe_subnets(world: World, given: dict[str, Any], region: str) -> dict[str, Any]:
    zones = [region + zone for zone in ZONES]
    for one in given.get("Filter", []):
        if one["Name"] == "availability-zone":
            zones = [zone for zone in zones if zone in one["Value"]]
    rows = [
        {"subnetId": f"subnet-{zone}", "vpcId": "vpc-default", "availabilityZone": zone, "defaultForAz": True}
        for zone in zones
    ]
    return {"subnetSet": rows}


def create_group(world: World, given: dict[str, Any], region: str) -> dict[str, Any]:
    name = given["GroupName"]
    if any(group["name"] == name for group in _groups(world, region)):
        raise AwsError("InvalidGroup.Duplicate", f"The security group '{name}' already exists")
    group_id = "sg-" + hashlib.sha256(f"{region}/{name}".encode()).hexdigest()[:17]
    group = {"id": group_id, "name": name, "about": given["GroupDescription"], "region": region, "rules": []}
    world.remember("group", f"{region}/{group_id}", group)
    return {"groupId": group_id, "return": True}


def _groups(world: World, region: str) -> list[dict[str, Any]]:
    return [group for group in world.all_of("group").values() if group["region"] == region]


def describe_groups(world: World, given: dict[str, Any], region: str) -> dict[str, Any]:
    found = _groups(world, region)
    wanted = given.get("GroupId")
    if wanted:
        if not {group["id"] for group in found} >= set(wanted):
            raise AwsError("InvalidGroup.NotFound", f"The security group '{wanted[0]}' does not exist")
        found = [group for group in found if group["id"] in wanted]
    for one in given.get("Filter", []):
        if one["Name"] == "group-name":
            found = [group for group in found if group["name"] in one["Value"]]
    rows = [
        {"groupId": group["id"], "groupName": group["name"], "groupDescription": group["about"],
         "vpcId": "vpc-default", "ipPermissions": group["rules"]}
        for group in found
    ]  # fmt: skip
    return {"securityGroupInfo": rows}


def authorize_ingress(world: World, given: dict[str, Any], region: str) -> dict[str, Any]:
    key = f"{region}/{given['GroupId']}"
    group = world.recall("group", key)
    if group is None:
        raise AwsError("InvalidGroup.NotFound", f"The security group '{given['GroupId']}' does not exist")
    for rule in given["IpPermissions"]:
        row = {
            "ipProtocol": rule["IpProtocol"],
            "fromPort": rule.get("FromPort"),
            "toPort": rule.get("ToPort"),
            "ipRanges": [{"cidrIp": one["CidrIp"]} for one in rule.get("IpRanges", [])],
            "groups": [{"groupId": one["GroupId"]} for one in rule.get("Groups", [])],
        }
        if row in group["rules"]:
            raise AwsError("InvalidPermission.Duplicate", "the specified rule already exists")
        group["rules"].append(row)
    world.remember("group", key, group)
    return {"return": True}


def delete_group(world: World, given: dict[str, Any], region: str) -> dict[str, Any]:
    users = [one for one in world.machines() if one.state in LIVE and given["GroupId"] in one.details["groups"]]
    if users:
        raise AwsError("DependencyViolation", f"resource {given['GroupId']} has a dependent object")
    world.forget("group", f"{region}/{given['GroupId']}")
    return {"return": True}


def create_placement(world: World, given: dict[str, Any], region: str) -> dict[str, Any]:
    key = f"{region}/{given['GroupName']}"
    if world.recall("placement", key):
        raise AwsError("InvalidPlacementGroup.Duplicate", "The placement group already exists.")
    world.remember("placement", key, {"name": given["GroupName"], "strategy": given["Strategy"], "region": region})
    return {"return": True}


def describe_placements(world: World, given: dict[str, Any], region: str) -> dict[str, Any]:
    found = [group for group in world.all_of("placement").values() if group["region"] == region]
    names = given.get("GroupName", [])
    if set(names) - {group["name"] for group in found}:
        raise AwsError("InvalidPlacementGroup.Unknown", f"The Placement Group '{names[0]}' is unknown.")
    rows = [
        {"groupName": group["name"], "strategy": group["strategy"], "state": "available"}
        for group in found
        if not names or group["name"] in names
    ]
    return {"placementGroupSet": rows}


def delete_placement(world: World, given: dict[str, Any], region: str) -> dict[str, Any]:
    world.forget("placement", f"{region}/{given['GroupName']}")
    return {"return": True}


def describe_types(world: World, given: dict[str, Any], region: str) -> dict[str, Any]:
    wanted = given.get("InstanceType") or list(TYPES)
    if set(wanted) - set(TYPES):
        raise AwsError("InvalidInstanceType", f"The following supplied instance types do not exist: {wanted}")
    rows = []
    for name in wanted:
        kind = TYPES[name]
        gpus = {"name": kind.accelerator, "manufacturer": "NVIDIA", "count": kind.accelerators,
                "memoryInfo": {"sizeInMiB": kind.accelerator_memory_mib}}  # fmt: skip
        rows.append(
            {
                "instanceType": name,
                "vCpuInfo": {"defaultVCpus": kind.cpus},
                "memoryInfo": {"sizeInMiB": kind.memory_mib},
                "gpuInfo": {"gpus": [gpus]} if kind.accelerators else None,
                "supportedUsageClasses": ["on-demand", "spot"],
            }
        )
    return {"instanceTypeSet": rows}


def describe_offerings(world: World, given: dict[str, Any], region: str) -> dict[str, Any]:
    by_zone = given.get("LocationType") == "availability-zone"
    places = [region + zone for zone in ZONES] if by_zone else [region]
    names = list(TYPES)
    for one in given.get("Filter", []):
        if one["Name"] == "instance-type":
            names = [name for name in names if name in one["Value"]]
    kind = "availability-zone" if by_zone else "region"
    rows = [{"instanceType": name, "locationType": kind, "location": place} for name in names for place in places]
    return {"instanceTypeOfferingSet": rows}


def describe_spot_prices(world: World, given: dict[str, Any], region: str) -> dict[str, Any]:
    names = given.get("InstanceType") or list(TYPES)
    rows = [
        {
            "instanceType": name,
            "productDescription": "Linux/UNIX",
            "spotPrice": f"{TYPES[name].spot_usd:.6f}",
            "timestamp": iso(world.now()),
            "availabilityZone": region + zone,
        }
        for name in names
        if name in TYPES
        for zone in ZONES
    ]
    return {"spotPriceHistorySet": rows}


VERBS = {
    "DescribeAvailabilityZones": describe_zones,
    "DescribeSubnets": describe_subnets,
    "CreateSecurityGroup": create_group,
    "DescribeSecurityGroups": describe_groups,
    "AuthorizeSecurityGroupIngress": authorize_ingress,
    "DeleteSecurityGroup": delete_group,
    "CreatePlacementGroup": create_placement,
    "DescribePlacementGroups": describe_placements,
    "DeletePlacementGroup": delete_placement,
    "DescribeInstanceTypes": describe_types,
    "DescribeInstanceTypeOfferings": describe_offerings,
    "DescribeSpotPriceHistory": describe_spot_prices,
}
