"""Launching, listing, tagging and ending instances, as the EC2 API Reference describes each."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from typing import Any

from emulator.aws_wire import AwsError, iso
from emulator.ec2_pages import page, passes
from emulator.ec2_types import TYPES
from emulator.ec2_volumes import attach
from emulator.world import ENDED, Machine, Refused, World

CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
LONGEST_TOKEN = 64
ZONES = "abc"
LARGEST_USER_DATA = 16384  # bytes before base64


def run_instances(world: World, given: dict[str, Any], region: str) -> dict[str, Any]:
    """One reservation. Raises AwsError with the documented codes, and then nothing was launched."""
    token, scope = given.get("ClientToken", ""), _zone(given, region) if _names_zone(given) else region
    if len(token) > LONGEST_TOKEN:
        raise AwsError("InvalidClientToken", f"The client token may be up to {LONGEST_TOKEN} characters long")
    digest = _digest(given)
    before = world.recall("token", f"{scope}/{token}") if token else None
    if before:
        return _again(world, before, digest)
    machine = _launch(world, given, region)
    if token:
        world.remember("token", f"{scope}/{token}", {"digest": digest, "instance": machine.id})
    return _reservation([machine])


def _names_zone(given: dict[str, Any]) -> bool:
    """A zone or a subnet makes the token zonal: with another zone it is another launch."""
    interface = (given.get("NetworkInterface") or [{}])[0]
    placed = given.get("Placement", {}).get("AvailabilityZone")
    return bool(given.get("SubnetId") or interface.get("SubnetId") or placed)


def _digest(given: dict[str, Any]) -> str:
    own = {key: value for key, value in given.items() if key not in ("ClientToken", "Version", "Action")}
    return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()


def may_run(given: dict[str, Any], world: World, region: str) -> None:
    """What a dry run checks besides the permission."""
    _check_image(world, given.get("ImageId", ""))
    _zone(given, region)
    _groups(world, given, region)


def _again(world: World, before: dict[str, str], digest: str) -> dict[str, Any]:
    machine = world.get(before["instance"])
    if digest != before["digest"]:
        raise AwsError("IdempotentParameterMismatch", "The client token was used with other parameters before.")
    if machine is None or machine.state == ENDED:
        raise AwsError("IdempotentInstanceTerminated", "The instance launched with this client token was terminated.")
    return _reservation([machine])


def _launch(world: World, given: dict[str, Any], region: str) -> Machine:
    if given.get("MinCount") != "1" or given.get("MaxCount") != "1":
        raise AwsError("InvalidParameterValue", "the emulator launches one instance a call")
    kind = TYPES.get(given.get("InstanceType", ""))
    if kind is None:
        raise AwsError("InvalidParameterValue", f"Invalid value '{given.get('InstanceType')}' for InstanceType.")
    _check_image(world, given.get("ImageId", ""))
    user_data = base64.b64decode(given.get("UserData", "")).decode()
    if len(user_data) > LARGEST_USER_DATA:
        raise AwsError("InvalidParameterValue", f"User data is limited to {LARGEST_USER_DATA} bytes")
    spot = given.get("InstanceMarketOptions", {}).get("MarketType") == "spot"
    zone = _zone(given, region)
    if spot:
        _check_price(given, kind)
    details = {
        "region": region, "tags": _tags_of(given, "instance"), "image": given["ImageId"],
        "token": given.get("ClientToken", ""), "groups": _groups(world, given, region),
        "placement_group": _placement_group(world, given, region),
        "tokens_required": given.get("MetadataOptions", {}).get("HttpTokens") == "required",
    }  # fmt: skip
    instance_id = "i-0" + secrets.token_hex(8)
    chosen = [zone] if _names_zone(given) else [region + letter for letter in ZONES]  # else EC2 finds one with room
    for zone in chosen:
        try:
            machine = world.launch(
                instance_id, zone=zone, machine_type=given["InstanceType"], spot=spot, size=kind.cpus,
                user_data=user_data, at_shutdown=given.get("InstanceInitiatedShutdownBehavior", "stop"),
                details=details,
            )  # fmt: skip
            attach(world, machine, _tags_of(given, "volume"))
            if world.rule("hosts") == "real":
                machine.details["private_address"] = world.address_of(machine.number)
                world.save(machine)
            return machine
        except Refused as refused:
            if refused.kind != "capacity" or zone == chosen[-1]:
                raise _refusal(refused.kind, spot, world) from None
    raise AssertionError("a region has zones")


def _refusal(kind: str, spot: bool, world: World) -> AwsError:
    if kind == "capacity":
        return AwsError("InsufficientInstanceCapacity", "There is no capacity for this type in this zone.", 500)
    if "machines" in world.rule("quota"):
        return AwsError("InstanceLimitExceeded", "Your quota allows for no more running instances.")
    if spot:
        return AwsError("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")
    return AwsError("VcpuLimitExceeded", "You have requested more vCPU capacity than your current vCPU limit.")


def _check_image(world: World, image: str) -> None:
    if not image.startswith(("ami-", "resolve:ssm:/")):
        raise AwsError("InvalidAMIID.Malformed", f"Invalid id: '{image}'")
    if image.startswith("ami-0none"):
        raise AwsError("InvalidAMIID.NotFound", f"The image id '[{image}]' does not exist")


def _check_price(given: dict[str, Any], kind: Any) -> None:
    most = given["InstanceMarketOptions"].get("SpotOptions", {}).get("MaxPrice")
    if most is not None and float(most) < kind.spot_usd:
        raise AwsError("SpotMaxPriceTooLow", f"Your Spot request price of {most} is lower than {kind.spot_usd}.")


def _zone(given: dict[str, Any], region: str) -> str:
    interface = (given.get("NetworkInterface") or [{}])[0]
    subnet = given.get("SubnetId") or interface.get("SubnetId", "")
    wanted = given.get("Placement", {}).get("AvailabilityZone", "")
    if subnet:
        if wanted not in ("", subnet.removeprefix("subnet-")):
            raise AwsError("InvalidParameterValue", f"The subnet '{subnet}' is not in the zone '{wanted}'.")
        if not subnet.startswith(f"subnet-{region}"):
            raise AwsError("InvalidSubnetID.NotFound", f"The subnet ID '{subnet}' does not exist")
        return subnet.removeprefix("subnet-")
    zone = wanted or f"{region}a"
    if not zone.startswith(region) or len(zone) != len(region) + 1:
        raise AwsError("InvalidParameterValue", f"Invalid availability zone: [{zone}]")
    return str(zone)


def _groups(world: World, given: dict[str, Any], region: str) -> list[str]:
    interface = (given.get("NetworkInterface") or [{}])[0]
    groups = given.get("SecurityGroupId") or interface.get("SecurityGroupId") or []
    for group in groups:
        if world.recall("group", f"{region}/{group}") is None:
            raise AwsError("InvalidGroup.NotFound", f"The security group '{group}' does not exist")
    return list(groups)


def _placement_group(world: World, given: dict[str, Any], region: str) -> str:
    name = given.get("Placement", {}).get("GroupName", "")
    if name and world.recall("placement", f"{region}/{name}") is None:
        raise AwsError("InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown.")
    return str(name)


def _tags_of(given: dict[str, Any], resource: str) -> dict[str, str]:
    tags = {}
    for one in given.get("TagSpecification", []):
        if one["ResourceType"] == resource:
            tags.update({tag["Key"]: tag.get("Value", "") for tag in one.get("Tag", [])})
    return tags


def describe_instances(world: World, given: dict[str, Any], region: str) -> dict[str, Any]:
    found = [machine for machine in world.listed() if machine.details["region"] == region]
    if given.get("InstanceId"):
        _all_there(found, given["InstanceId"])
        found = [machine for machine in found if machine.id in given["InstanceId"]]
    rows, more = page(world, given, [one for one in found if passes(one.details["tags"], _filters(one), given)])
    return {"reservationSet": [_reservation([machine]) for machine in rows], "nextToken": more}


def _all_there(found: list[Machine], wanted: list[str]) -> None:
    absent = sorted(set(wanted) - {machine.id for machine in found})
    if absent:
        raise AwsError("InvalidInstanceID.NotFound", f"The instance IDs '{', '.join(absent)}' do not exist")


def _filters(machine: Machine) -> dict[str, list[str]]:
    return {
        "tag-key": list(machine.details["tags"]), "instance-state-name": [machine.state], "instance-id": [machine.id],
        "client-token": [machine.details["token"]], "availability-zone": [machine.zone],
        "instance-type": [machine.machine_type],
    }  # fmt: skip


def terminate_instances(world: World, given: dict[str, Any], region: str) -> dict[str, Any]:
    found = [machine for machine in world.listed() if machine.details["region"] == region]
    _all_there(found, given["InstanceId"])
    changes = []
    for machine in found:
        if machine.id in given["InstanceId"]:
            before = machine.state
            world.end(machine, "terminated by its owner")
            changes.append(
                {"instanceId": machine.id, "currentState": _state(machine.state), "previousState": _state(before)}
            )
    return {"instancesSet": changes}


def create_tags(world: World, given: dict[str, Any], region: str) -> dict[str, Any]:
    for resource in given["ResourceId"]:
        machine = world.get(resource)
        if machine is None or machine.details["region"] != region:
            raise AwsError("InvalidID", f"The ID '{resource}' is not valid")
        machine.details["tags"].update({tag["Key"]: tag.get("Value", "") for tag in given["Tag"]})
        world.save(machine)
    return {"return": True}


def get_console_output(world: World, given: dict[str, Any], region: str) -> dict[str, Any]:
    return {"instanceId": given["InstanceId"], "timestamp": iso(world.now()), "output": ""}


def _reservation(machines: list[Machine]) -> dict[str, Any]:
    return {
        "reservationId": "r-" + hashlib.sha256(machines[0].id.encode()).hexdigest()[:17],
        "ownerId": "111122223333",
        "groupSet": [],
        "instancesSet": [_instance(machine) for machine in machines],
    }


def _state(state: str) -> dict[str, Any]:
    return {"code": CODES[state], "name": state}


def _instance(machine: Machine) -> dict[str, Any]:
    details = machine.details
    ended = machine.state == ENDED
    return {
        "instanceId": machine.id,
        "imageId": details["image"],
        "instanceState": _state(machine.state),
        "instanceType": machine.machine_type,
        "clientToken": details["token"],
        "launchTime": iso(machine.made_at),
        "placement": {"availabilityZone": machine.zone, "groupName": details["placement_group"], "tenancy": "default"},
        "privateIpAddress": machine.address or details.get("private_address") or None if not ended else None,
        "ipAddress": machine.address or None if not ended else None,
        "instanceLifecycle": "spot" if machine.spot else None,
        "stateReason": {"code": "Server.SpotInstanceTermination" if "spot" in machine.reason else
                        "Client.UserInitiatedShutdown", "message": machine.reason} if machine.reason else None,
        "groupSet": [{"groupId": group, "groupName": group} for group in details["groups"]],
        "tagSet": [{"key": key, "value": value} for key, value in details["tags"].items()],
        "metadataOptions": {"httpTokens": "required" if details["tokens_required"] else "optional"},
    }  # fmt: skip


VERBS = {
    "RunInstances": run_instances,
    "DescribeInstances": describe_instances,
    "TerminateInstances": terminate_instances,
    "CreateTags": create_tags,
    "GetConsoleOutput": get_console_output,
}
