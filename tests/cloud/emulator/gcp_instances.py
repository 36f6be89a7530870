"""Compute Engine's instances and the operations that make and end them."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from emulator.gcp_lists import API, ZONES, Wrong, aggregated
from emulator.world import ENDED, ENDING, PENDING, RUNNING, STOPPED, STOPPING, Machine, Refused, World

NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL = re.compile(r"[a-z0-9_-]{0,63}")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TYPES = {
    "e2-micro": 2, "e2-small": 2, "e2-medium": 2, "e2-standard-2": 2, "e2-standard-4": 4, "n1-standard-4": 4,
    "n1-standard-8": 8, "n2-standard-2": 2, "n2-standard-4": 4, "n2-standard-8": 8, "g2-standard-8": 8,
    "a2-highgpu-1g": 12,
}  # fmt: skip
STATUS = {PENDING: "STAGING", RUNNING: "RUNNING", STOPPING: "STOPPING", STOPPED: "TERMINATED", ENDING: "STOPPING"}
REMEMBERED_S = 3600.0


class Instances:
    def __init__(self, world: World) -> None:
        self._world = world

    def insert(self, zone: str, given: dict[str, Any], request_id: str) -> dict[str, Any]:
        """An operation. A request id that was seen within the hour gets the operation of that time."""
        repeated = self._repeated(request_id)
        if repeated:
            return repeated
        machine_type = self._check(zone, given)
        name = given["name"]
        if self._at(zone, name):
            raise Wrong(409, "alreadyExists", f"The resource '{self._path(zone, name)}' already exists")
        operation = self._new_operation("insert", zone, name, request_id)
        spot = given["scheduling"].get("provisioningModel") == "SPOT"
        attributes = {item["key"]: item["value"] for item in given.get("metadata", {}).get("items", [])}
        try:
            machine = self._world.launch(
                operation["targetId"],
                zone=zone,
                machine_type=machine_type,
                spot=spot,
                size=TYPES[machine_type],
                user_data=attributes.get("user-data", ""),
                at_shutdown="stop",  # a guest that shuts itself down leaves a TERMINATED instance with its disk
                lives_s=float(given["scheduling"].get("maxRunDuration", {}).get("seconds", 0)),
                details={"name": name, "resource": given, "attributes": attributes},
            )
            operation["machine"] = machine.id
        except Refused as refused:
            operation |= failure(refused.kind, zone, machine_type, spot)
        return self._keep(operation)

    def _check(self, zone: str, given: dict[str, Any]) -> str:
        region, _, letter = zone.rpartition("-")
        if letter not in ZONES.get(region, ()):
            raise Wrong(404, "notFound", f"The resource 'projects/emulated/zones/{zone}' was not found")
        if not NAME.fullmatch(given.get("name", "")):
            raise Wrong(400, "invalid", f"Invalid value for field 'resource.name': '{given.get('name')}'.")
        for key, value in given.get("labels", {}).items():
            if not LABEL.fullmatch(key) or not LABEL.fullmatch(value):
                raise Wrong(400, "invalid", f"Invalid value for field 'resource.labels': '{key}: {value}'.")
        _, _, machine_type = str(given["machineType"]).rpartition("/")
        if machine_type not in TYPES or str(given["machineType"]).split("/")[-3] != zone:
            message = f"Machine type with name '{machine_type}' does not exist in zone '{zone}'."
            raise Wrong(400, "invalid", f"Invalid value for field 'resource.machineType': {message}")
        if not any(disk.get("boot") for disk in given.get("disks", [])):
            raise Wrong(400, "required", "Required field 'resource.disks[0].boot' not specified")
        scheduling = given.setdefault("scheduling", {})
        if "maxRunDuration" in scheduling and "instanceTerminationAction" not in scheduling:
            raise Wrong(400, "invalid", "instanceTerminationAction must be set with maxRunDuration")
        gpus = given.get("guestAccelerators") or machine_type.startswith(("a2-", "g2-"))
        if (gpus or scheduling.get("provisioningModel") == "SPOT") and scheduling.get(
            "onHostMaintenance"
        ) != "TERMINATE":
            raise Wrong(400, "badRequest", "such instances do not support live migration")
        return machine_type

    def delete(self, zone: str, name: str, request_id: str) -> dict[str, Any]:
        repeated = self._repeated(request_id)
        if repeated:
            return repeated
        machine = self.find(zone, name)
        self._world.end(machine, "deleted")
        operation = self._new_operation("delete", zone, name, request_id)
        operation["machine"] = machine.id
        return self._keep(operation)

    def find(self, zone: str, name: str) -> Machine:
        machine = self._at(zone, name)
        if machine is None:
            raise Wrong(404, "notFound", f"The resource '{self._path(zone, name)}' was not found")
        return machine

    def _at(self, zone: str, name: str) -> Machine | None:
        """A deleted instance is gone at once: there is no list of the dead."""
        for machine in self._world.machines():
            if (machine.zone, machine.details["name"]) == (zone, name) and machine.state != ENDED:
                return machine
        return None

    def listing(self, query: Mapping[str, str]) -> dict[str, Any]:
        rows = [(one.zone, self.shown(one)) for one in self._world.listed() if one.state != ENDED]
        return aggregated(self._world, query, "instances", rows)

    def keep_disk(self, zone: str, name: str, query: Mapping[str, str]) -> dict[str, Any]:
        """instances.setDiskAutoDelete: whether its disk goes with it."""
        machine = self.find(zone, name)
        machine.details["resource"]["disks"][0]["autoDelete"] = query["autoDelete"] == "true"
        self._world.save(machine)
        return self._keep(self._new_operation("setDiskAutoDelete", zone, name, ""))

    def region(self, name: str) -> dict[str, Any]:
        if name not in ZONES:
            raise Wrong(404, "notFound", f"The resource 'projects/emulated/regions/{name}' was not found")
        live = [one for one in self._world.machines() if one.state not in (ENDED, STOPPED)]
        quota = self._world.rule("quota")
        used = {spot: sum(one.size for one in live if one.spot is spot) for spot in (False, True)}
        return {
            "kind": "compute#region",
            "name": name,
            "zones": [f"{API}/zones/{name}-{letter}" for letter in ZONES[name]],
            "quotas": [
                {"metric": "CPUS", "limit": quota.get("on-demand", 72), "usage": used[False]},
                {"metric": "PREEMPTIBLE_CPUS", "limit": quota.get("spot", 72), "usage": used[True]},
            ],
        }

    def shown(self, machine: Machine) -> dict[str, Any]:
        given = machine.details["resource"]
        interface = dict(given["networkInterfaces"][0])
        if machine.state == RUNNING:
            interface["networkIP"] = machine.address
            interface["accessConfigs"] = [
                {**config, "natIP": machine.address} for config in interface.get("accessConfigs", [])
            ]
        return {
            **given,
            "kind": "compute#instance",
            "id": str(10**18 + machine.number),
            "zone": f"{API}/zones/{machine.zone}",
            "selfLink": f"{API}{self._path(machine.zone, machine.details['name'])[len('projects/emulated') :]}",
            "status": STATUS[machine.state],
            "creationTimestamp": stamp(machine.made_at),
            "networkInterfaces": [interface],
        }

    # Operations

    def operation(self, zone: str, name: str) -> dict[str, Any]:
        operation = self._world.recall("operation", name)
        if operation is None or operation["zone_name"] != zone:
            raise Wrong(
                404, "notFound", f"The resource 'projects/emulated/zones/{zone}/operations/{name}' was not found"
            )
        return self._told(operation)

    def _repeated(self, request_id: str) -> dict[str, Any] | None:
        if not request_id:
            return None
        if not UUID.fullmatch(request_id) or set(request_id) <= {"0", "-"}:
            raise Wrong(400, "invalid", f"Invalid value for field 'requestId': '{request_id}'. Must be a UUID.")
        seen = self._world.recall("request", request_id)
        if seen is None or self._world.now() - seen["at"] > REMEMBERED_S:
            return None
        return self._told(self._world.recall("operation", seen["operation"]))

    def _new_operation(self, kind: str, zone: str, name: str, request_id: str) -> dict[str, Any]:
        number = int(self._world.recall("counter", "operations") or 0) + 1
        self._world.remember("counter", "operations", number)
        return {
            "kind": "compute#operation",
            "id": str(2 * 10**18 + number),
            "name": f"operation-{number}",
            "operationType": kind,
            "zone": f"{API}/zones/{zone}",
            "zone_name": zone,
            "targetLink": f"{API}/zones/{zone}/instances/{name}",
            "targetId": f"vm-{number}",
            "insertTime": stamp(self._world.now()),
            "requestId": request_id,
        }

    def _keep(self, operation: dict[str, Any]) -> dict[str, Any]:
        self._world.remember("operation", operation["name"], operation)
        if operation["requestId"]:
            seen = {"at": self._world.now(), "operation": operation["name"]}
            self._world.remember("request", operation["requestId"], seen)
        return self._told(operation)

    def _told(self, operation: dict[str, Any]) -> dict[str, Any]:
        machine = self._world.get(operation.get("machine", ""))
        still = (PENDING,) if operation["operationType"] == "insert" else (ENDING, RUNNING)
        under_way = machine is not None and machine.state in still
        hidden = ("zone_name", "machine", "requestId")
        told = {key: value for key, value in operation.items() if key not in hidden}
        told["targetId"] = str(3 * 10**18)
        return {**told, "status": "RUNNING" if under_way else "DONE", "progress": 0 if under_way else 100}

    def _path(self, zone: str, name: str) -> str:
        return f"projects/emulated/zones/{zone}/instances/{name}"


def failure(kind: str, zone: str, machine_type: str, spot: bool) -> dict[str, Any]:
    """ "Troubleshooting resource availability errors", "Troubleshooting quota": both come with the operation."""
    if kind == "quota":
        metric = "PREEMPTIBLE_CPUS" if spot else "CPUS"
        message = f"Quota '{metric}' exceeded.  Limit: 72.0 in region {zone.rpartition('-')[0]}."
        return failed(403, "QUOTA_EXCEEDED", message)
    message = f"The zone 'projects/emulated/zones/{zone}' does not have enough resources available ({machine_type})."
    return failed(503, "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", message)


def failed(status: int, code: str, message: str) -> dict[str, Any]:
    errors = [{"code": code, "message": message}]
    return {"httpErrorStatusCode": status, "httpErrorMessage": code, "error": {"errors": errors}}


def stamp(seconds: float) -> str:
    """RFC 3339 in Pacific time, as Google writes it."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds - 8 * 3600))
    return f"{whole}.{int(seconds % 1 * 1000):03d}-08:00"
