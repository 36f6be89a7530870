"""Azure's virtual machines, network interfaces, addresses and disks: the parts go when the whole goes."""

from __future__ import annotations

import base64
import re
import secrets
import time
from typing import Any

from emulator.world import ENDED, ENDING, PENDING, RUNNING, STOPPED, Refused, World

ROOT = "/subscriptions/emulated-subscription/resourceGroups/lab/providers"
PROVIDER = {
    "virtualMachines": "Microsoft.Compute",
    "disks": "Microsoft.Compute",
    "networkInterfaces": "Microsoft.Network",
    "publicIPAddresses": "Microsoft.Network",
}
LOCATIONS = ("eastus", "westeurope")
SIZES = {
    "Standard_B1s": 1, "Standard_B2s": 2, "Standard_B2ms": 2, "Standard_B4ms": 4, "Standard_D2s_v5": 2,
    "Standard_D4s_v5": 4, "Standard_F2s_v2": 2, "Standard_F4s_v2": 4, "Standard_NC4as_T4_v3": 4,
    "Standard_NC24ads_A100_v4": 24,
}  # fmt: skip
NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,62}[A-Za-z0-9_])?")
WITH_DATA = "/with-data"  # images of such a name have a data disk
POWER = {PENDING: "starting", RUNNING: "running", STOPPED: "stopped", ENDING: "stopping"}


class Wrong(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class Machines:
    def __init__(self, world: World) -> None:
        self._world = world

    def settle(self) -> None:
        """What has ended since takes along the parts that are to be deleted with it."""
        for name, one in self._world.all_of("virtualMachines").items():
            machine = self._world.get(one["machine"])
            if machine is not None and machine.state == ENDED:
                self._world.forget("virtualMachines", name)
                self._delete_parts(one)
            elif machine is not None and machine.state == STOPPED and machine.ended_at:
                machine.ended_at = 0.0  # stopped from inside: its hardware stays allocated, and is billed
                self._world.save(machine)

    def _delete_parts(self, one: dict[str, Any]) -> None:
        properties = one["resource"]["properties"]
        disk = properties["storageProfile"]["osDisk"]
        if disk.get("deleteOption") == "Delete":
            self._world.forget("disks", disk["name"])
        for name, other in self._world.all_of("disks").items():
            if other["managedBy"] == one["resource"]["id"]:
                self._world.remember("disks", name, {**other, "managedBy": None})
        for reference in properties["networkProfile"]["networkInterfaces"]:
            interface = last(reference["id"])
            found = self._world.recall("networkInterfaces", interface)
            if found is None or reference.get("properties", {}).get("deleteOption") != "Delete":
                continue
            self._world.forget("networkInterfaces", interface)
            for address in addresses(found):
                if address.get("properties", {}).get("deleteOption") == "Delete":
                    self._world.forget("publicIPAddresses", last(address["id"]))

    # What is asked for

    def listing(self, kind: str) -> list[dict[str, Any]]:
        now, late = self._world.now(), self._world.rule("unlisted_s")
        found = self._world.all_of(kind)
        return [self.get(kind, name) for name, one in found.items() if now - one.get("made_at", 0.0) >= late]

    def get(self, kind: str, name: str) -> dict[str, Any]:
        one = self._world.recall(kind, name)
        if one is None:
            raise Wrong(404, "ResourceNotFound", f"The Resource '{PROVIDER[kind]}/{kind}/{name}' was not found.")
        if kind == "virtualMachines":
            return self._machine(one)
        return self._address(name, one) if kind == "publicIPAddresses" else one

    def _address(self, name: str, one: dict[str, Any]) -> dict[str, Any]:
        """That of its machine's host, once it runs. Azure knows a static one at once; here it would lead nowhere."""
        for whole in self._world.all_of("virtualMachines").values():
            for reference in whole["resource"]["properties"]["networkProfile"]["networkInterfaces"]:
                interface = self._world.recall("networkInterfaces", last(reference["id"]))
                machine = self._world.get(whole["machine"])
                if interface and machine and machine.address and name in [last(a["id"]) for a in addresses(interface)]:
                    return {**one, "properties": {**one["properties"], "ipAddress": machine.address}}
        return one

    def _machine(self, one: dict[str, Any]) -> dict[str, Any]:
        machine = self._world.get(one["machine"])
        state = "Failed" if one.get("failed") else "Creating" if machine and machine.state == PENDING else "Succeeded"
        if machine and machine.state == ENDING:
            state = "Deleting"
        hidden = {**one["resource"]["properties"]["osProfile"]}
        hidden.pop("customData", None)  # "not returned in any GET"
        told = {"osProfile": hidden, "provisioningState": state, "timeCreated": stamp(one["made_at"])}
        return {**one["resource"], "properties": {**one["resource"]["properties"], **told}}

    def view(self, name: str) -> dict[str, Any]:
        machine = self._world.get(self._world.recall("virtualMachines", name)["machine"])
        power = [{"code": f"PowerState/{POWER[machine.state]}", "level": "Info"}] if machine else []
        return {"statuses": [{"code": "ProvisioningState/succeeded", "level": "Info"}, *power]}

    def put(self, kind: str, name: str, given: dict[str, Any], if_none_match: str) -> tuple[dict[str, Any], str, bool]:
        """(the resource, the operation to watch or "", whether it is new)"""
        if given.get("location") not in LOCATIONS:
            raise Wrong(400, "LocationNotAvailableForResourceType", f"no such location: {given.get('location')}")
        if not NAME.fullmatch(name):
            raise Wrong(400, "InvalidResourceName", f"The resource name '{name}' is invalid.")
        before = self._world.recall(kind, name)
        if before is not None and if_none_match == "*":
            raise Wrong(412, "PreconditionFailed", f"{name} exists already")
        resource = {
            **given,
            "id": f"{ROOT}/{PROVIDER[kind]}/{kind}/{name}",
            "name": name,
            "type": f"{PROVIDER[kind]}/{kind}",
        }
        if kind == "virtualMachines":
            return self._put_machine(name, resource, before)
        if kind == "publicIPAddresses":
            resource["properties"] = {**given["properties"], "provisioningState": "Succeeded"}
        elif kind == "networkInterfaces":
            self._check_interface(name, given)
            resource["properties"] = {**given["properties"], "provisioningState": "Succeeded"}
        else:
            raise Wrong(405, "MethodNotAllowed", f"{kind} are made with their machines here")
        self._world.remember(kind, name, resource)
        return resource, "", before is None

    def _check_interface(self, name: str, given: dict[str, Any]) -> None:
        for one in given["properties"]["ipConfigurations"]:
            self.subnet(*one["properties"]["subnet"]["id"].partition("/virtualNetworks/")[2].split("/", 1))
        for address in addresses(given):
            if self._world.recall("publicIPAddresses", last(address["id"])) is None:
                raise Wrong(400, "InvalidResourceReference", f"Resource {address['id']} was not found.")
            for other, found in self._world.all_of("networkInterfaces").items():
                if other != name and any(one["id"] == address["id"] for one in addresses(found)):
                    raise Wrong(400, "PublicIPAddressInUse", f"Resource {address['id']} is in use by {other}.")

    def _put_machine(
        self, name: str, resource: dict[str, Any], before: dict[str, Any] | None
    ) -> tuple[dict[str, Any], str, bool]:
        if before is not None:
            if self._machine(before)["properties"]["provisioningState"] == "Deleting":
                raise Wrong(409, "Conflict", f"{name} is being deleted.")
            if before["resource"]["properties"]["hardwareProfile"] != resource["properties"]["hardwareProfile"]:
                raise Wrong(409, "PropertyChangeNotAllowed", "Changing property 'vmSize' is not allowed here.")
            return self._machine(before), "", False
        self._check_machine(resource)
        one = {"resource": resource, "machine": f"{name}-{self._count('machines')}", "made_at": self._world.now()}
        one |= self._try_launch(one)
        operation = f"op-{self._count('operations')}"
        self._world.remember("operation", operation, {"machine": one["machine"], "failed": one.get("failed", "")})
        self._world.remember("virtualMachines", name, one)
        self._make_disks(name, resource)
        return self._machine(one), operation, True

    def _make_disks(self, name: str, resource: dict[str, Any]) -> None:
        """With the machine's tags. A data disk is only detached when it goes."""
        storage = resource["properties"]["storageProfile"]
        names = [storage["osDisk"]["name"]]
        if storage.get("imageReference", {}).get("id", "").endswith(WITH_DATA):
            names.append(f"{name}_disk2_{secrets.token_hex(16)}")
        for disk in names:
            made = {"id": f"{ROOT}/Microsoft.Compute/disks/{disk}", "name": disk, "location": resource["location"]}
            made |= {"managedBy": resource["id"], "tags": resource.get("tags", {}), "properties": {}}
            self._world.remember("disks", disk, made)

    def _check_machine(self, resource: dict[str, Any]) -> None:
        properties = resource["properties"]
        size = properties["hardwareProfile"]["vmSize"]
        if size not in SIZES:
            raise Wrong(400, "InvalidParameter", f"The value {size} provided for the VM size is not valid.")
        for reference in properties["networkProfile"]["networkInterfaces"]:
            interface = last(reference["id"])
            if self._world.recall("networkInterfaces", interface) is None:
                raise Wrong(404, "NotFound", f"Resource {reference['id']} was not found.")
            if interface in self._in_use():
                raise Wrong(400, "NicInUse", f"Network interface {interface} is used by another machine.")
        if properties.get("evictionPolicy") and properties.get("priority") != "Spot":
            raise Wrong(400, "InvalidParameter", "Eviction policy can be set only on Azure Spot Virtual Machines.")

    def _try_launch(self, one: dict[str, Any]) -> dict[str, Any]:
        """What to remember besides. An exhausted stock is known at once or only once it was tried to allocate."""
        resource = one["resource"]
        properties = resource["properties"]
        size, spot = properties["hardwareProfile"]["vmSize"], properties.get("priority") == "Spot"
        zone = "-".join([resource["location"], *resource.get("zones", [])])
        try:
            self._world.launch(
                one["machine"],
                zone=zone,
                machine_type=size,
                spot=spot,
                size=SIZES[size],
                user_data=base64.b64decode(properties["osProfile"].get("customData", "")).decode(),
                at_shutdown="stop",
                details={"resource": resource},
            )
        except Refused as refused:
            if refused.kind == "quota":
                said = (
                    "Operation could not be completed as it results in exceeding approved Total Regional Cores quota."
                )
                raise Wrong(409, "OperationNotAllowed", said) from refused
            if any(key.split("/")[1] == size and most == 0 for key, most in self._world.rule("capacity").items()):
                said = f"The requested VM size {size} is currently not available in location '{resource['location']}'."
                raise Wrong(409, "SkuNotAvailable", said) from refused
            return {"machine": "", "failed": "AllocationFailed"}
        return {}

    def delete(self, kind: str, name: str) -> str:
        """The operation to watch; "" when it is done."""
        one = self._world.recall(kind, name)
        if one is None:
            return ""
        if kind == "virtualMachines":
            return self._delete_machine(name, one)
        if kind == "networkInterfaces" and name in self._in_use():
            raise Wrong(400, "NicInUse", f"Network interface {name} is used by a machine.")
        if kind == "publicIPAddresses":
            for other, found in self._world.all_of("networkInterfaces").items():
                if any(last(address["id"]) == name for address in addresses(found)):
                    raise Wrong(400, "PublicIPAddressCannotBeDeleted", f"{name} is in use by {other}.")
        if kind == "disks" and one.get("managedBy"):
            raise Wrong(409, "OperationNotAllowed", f"Disk {name} is attached.")
        self._world.forget(kind, name)
        return ""

    def _delete_machine(self, name: str, one: dict[str, Any]) -> str:
        machine = self._world.get(one["machine"])
        operation = f"op-{self._count('operations')}"
        self._world.remember("operation", operation, {"machine": one["machine"], "failed": "", "ends": True})
        if machine is None:
            self._world.forget("virtualMachines", name)
            self._delete_parts(one)
        else:
            self._world.end(machine, "deleted")
        return operation

    def _in_use(self) -> set[str]:
        found = self._world.all_of("virtualMachines").values()
        return {
            last(ref["id"])
            for one in found
            for ref in one["resource"]["properties"]["networkProfile"]["networkInterfaces"]
        }

    def operation(self, name: str) -> dict[str, Any]:
        one = self._world.recall("operation", name)
        if one is None:
            raise Wrong(404, "NotFound", f"no operation {name}")
        if one["failed"]:
            said = "Allocation failed. We do not have sufficient capacity for the requested VM size in this region."
            return {"name": name, "status": "Failed", "error": {"code": one["failed"], "message": said}}
        machine = self._world.get(one["machine"])
        waits = machine is not None and machine.state in ((ENDING, RUNNING) if one.get("ends") else (PENDING,))
        return {"name": name, "status": "InProgress" if waits else "Succeeded"}

    def usages(self) -> list[dict[str, Any]]:
        quota = self._world.rule("quota")
        live = [machine for machine in self._world.machines() if machine.state != ENDED]
        used = {spot: sum(one.size for one in live if one.spot is spot) for spot in (False, True)}
        rows = (
            ("cores", quota.get("on-demand", 100), used[False]),
            ("lowPriorityCores", quota.get("spot", 100), used[True]),
        )
        return [
            {"name": {"value": name, "localizedValue": name}, "unit": "Count", "limit": limit, "currentValue": current}
            for name, limit, current in rows
        ]

    def subnet(self, network: str, more: str) -> dict[str, Any]:
        if (network, more) != ("net", "subnets/hosts"):
            raise Wrong(404, "NotFound", f"virtual network {network}/{more} was not found")
        return {"id": f"{ROOT}/Microsoft.Network/virtualNetworks/{network}/{more}", "name": "hosts", "properties": {}}

    def _count(self, what: str) -> int:
        number = int(self._world.recall("azure-counter", what) or 0) + 1
        self._world.remember("azure-counter", what, number)
        return number


def addresses(interface: dict[str, Any]) -> list[dict[str, Any]]:
    configured = interface["properties"]["ipConfigurations"]
    return [one["properties"]["publicIPAddress"] for one in configured if "publicIPAddress" in one["properties"]]


def last(resource_id: str) -> str:
    return resource_id.rpartition("/")[2]


def stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1e6):06d}+00:00"
