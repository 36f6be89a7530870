"""EBS volumes: the root of each instance goes with it, a data disk that the image brings stays.

"Preserve data when an instance is terminated" (Amazon EC2 User Guide): DeleteOnTermination, as the image's block device
mapping has it, decides for each. An image whose id begins with ``ami-0data`` has one data disk that is to stay.
"""

from __future__ import annotations

import secrets
from typing import Any

from emulator.aws_wire import AwsError, iso
from emulator.ec2_pages import page, passes
from emulator.world import ENDED, Machine, World

WITH_DATA = "ami-0data"


def attach(world: World, machine: Machine, tags: dict[str, str]) -> None:
    for stays in (False, True) if machine.details["image"].startswith(WITH_DATA) else (False,):
        volume = "vol-0" + secrets.token_hex(8)
        about = {"instance": machine.id, "zone": machine.zone, "tags": tags, "stays": stays, "at": world.now()}
        world.remember("volume", volume, about)


def volumes(world: World, region: str) -> dict[str, dict[str, Any]]:
    """By id, each with its ``status``."""
    found = {}
    for volume, about in world.all_of("volume").items():
        machine = world.get(about["instance"])
        ended = machine is None or machine.state == ENDED
        if about["zone"].startswith(region) and (about["stays"] or not ended):
            found[volume] = {**about, "status": "available" if ended else "in-use"}
    return found


def describe_volumes(world: World, given: dict[str, Any], region: str) -> dict[str, Any]:
    found = [
        (volume, about)
        for volume, about in volumes(world, region).items()
        if passes(about["tags"], {"status": [about["status"]], "tag-key": list(about["tags"])}, given)
    ]
    rows, more = page(world, given, found)
    return {"volumeSet": [_shown(volume, about) for volume, about in rows], "nextToken": more}


def _shown(volume: str, about: dict[str, Any]) -> dict[str, Any]:
    return {
        "volumeId": volume,
        "size": 8,
        "status": about["status"],
        "availabilityZone": about["zone"],
        "createTime": iso(about["at"]),
        "tagSet": [{"key": key, "value": value} for key, value in about["tags"].items()],
    }


def delete_volume(world: World, given: dict[str, Any], region: str) -> dict[str, Any]:
    volume = given["VolumeId"]
    about = volumes(world, region).get(volume)
    if about is None:
        raise AwsError("InvalidVolume.NotFound", f"The volume '{volume}' does not exist.")
    if about["status"] == "in-use":
        raise AwsError("VolumeInUse", f"Volume {volume} is currently attached to {about['instance']}")
    world.forget("volume", volume)
    return {"return": True}


VERBS = {"DescribeVolumes": describe_volumes, "DeleteVolume": delete_volume}
