"""Azure: one virtual machine with its address, network interface and disk, by azure-mgmt-compute and -network.

Every resource is named after the token and carries our tags, and Azure's PUT makes what is absent: however often a
launch is repeated, there is one machine. Its parts are deleted with it. What a crash leaves half made is listed as a
machine that is still to come: its attempt finishes it, or the collector destroys it.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, cast

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import DefaultAzureCredential
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.network import NetworkManagementClient

from beowulf.cloud.azure_errors import ROLE, translated
from beowulf.cloud.options import check_options, number
from beowulf.cloud.provider import Check, Instance, InstanceState, LaunchRequest
from beowulf.cloud.requests import agent_user
from beowulf.model.cloud import Market
from beowulf.model.errors import BadInput, CloudError, LaunchRefused, NoCapacity, TokenSpent
from beowulf.model.renting import Cloud

NEEDED = ("subscription", "resource_group", "identity")
OPTIONS = (*NEEDED, "authority", "disk_gib", "address", "limit_hours")
QUOTA_ROLE = "assign the role in nodes/policies/azure-quota-role.json on the subscription"
IMAGE = "Canonical:0001-com-ubuntu-server-jammy:22_04-lts-gen2:latest"
ADMIN = "azureuser"  # Azure wants one; the cloud-config decides who there really is
ALLOCATION_S = 60.0  # how long we wait to hear that there is no room
POLL_S = 1
TAGS = ("beowulf-cluster", "beowulf-machine", "beowulf-token")
STATES = {
    "starting": InstanceState.PENDING,
    "running": InstanceState.RUNNING,
    "stopping": InstanceState.STOPPING,
    "deallocating": InstanceState.STOPPING,
}
"""https://learn.microsoft.com/azure/virtual-machines/states-billing; what has stopped keeps its disk, or more."""
PROVISIONING = {"Creating": InstanceState.PENDING, "Deleting": InstanceState.STOPPING, "Failed": InstanceState.STOPPED}


class Azure:
    """`Provider` for one resource group. Options: ``subscription``, ``resource_group``, ``identity`` (resource id of a
    user-assigned managed identity, by which a machine without a head deletes itself: a mere shutdown goes on costing),
    ``disk_gib`` (64), ``address`` (``private``: the head is inside the network), ``authority`` (of a cloud that is not
    the public one). ``network`` is VNET/SUBNET in that group."""

    def __init__(self, cloud: Cloud, cluster: str) -> None:
        check_options(cloud, OPTIONS, NEEDED, families=("bucket.",))
        if cloud.network.count("/") != 1:
            raise BadInput(f"network is {cloud.network!r}, not VNET/SUBNET", where=f"cloud {cloud.name}")
        self.name = cloud.name
        self._cloud = cloud
        self._cluster = cluster
        self._group = cloud.options["resource_group"]
        self._disk_gib = int(number(cloud, "disk_gib", 64.0))
        self._public = cloud.options.get("address") != "private"

    def create(self, request: LaunchRequest) -> Instance:
        name = machine_name(request)
        with translated(f"launching {name}"):
            if self._find(name) is None:
                interface = self._interface(request, name)
                self._launch(name, self._machine(request, name, interface))
        found = self._look(name)
        if found is None:
            raise TokenSpent(f"{name} was launched once and is gone")
        return found

    def list(self) -> Sequence[Instance]:
        with translated(f"listing {self._group}"):
            machines = [one for one in self._compute.virtual_machines.list(self._group) if self._ours(one)]
            addresses: dict[str, Any] = {
                str(one.name): one for one in self._network.public_ip_addresses.list(self._group)
            }
            interfaces: dict[str, Any] = {
                str(one.name): one for one in self._network.network_interfaces.list(self._group)
            }
            disks = [one for one in self._compute.disks.list_by_resource_group(self._group) if not one.managed_by]
            found = {one.name: self._instance(one, addresses, interfaces) for one in machines}
        parts: list[Any] = [*addresses.values(), *interfaces.values(), *disks]
        for part in parts:
            whole = str(part.name).rpartition("-")[0]
            if self._ours(part) and whole not in found:
                found[whole] = half_made(whole, part)
        return list(found.values())

    def destroy(self, instance_id: str) -> None:
        """Asks for the machine's end, which takes the parts along; without a machine, for the end of its parts."""
        with translated(f"deleting {instance_id}"):
            if self._find(instance_id):
                self._compute.virtual_machines.begin_delete(
                    self._group, instance_id, force_deletion=True, polling=False
                )
                return
            with suppress(ResourceNotFoundError):
                self._network.network_interfaces.begin_delete(
                    self._group, f"{instance_id}-nic", polling_interval=POLL_S
                ).wait(ALLOCATION_S)
            for parts, kind in ((self._network.public_ip_addresses, "ip"), (self._compute.disks, "disk")):
                with suppress(ResourceNotFoundError):
                    cast(Any, parts).begin_delete(self._group, f"{instance_id}-{kind}", polling=False)

    def check(self) -> Sequence[Check]:
        try:
            with translated("looking into the resource group"):
                count = sum(1 for _ in self._compute.virtual_machines.list(self._group))
                vnet, _, subnet = self._cloud.network.partition("/")
                self._network.subnets.get(self._group, vnet, subnet)
        except CloudError as error:
            return [Check(f"resource group {self._group}", False, error.message, error.hint or ROLE)]
        checks = [Check(f"resource group {self._group}", True, f"{count} virtual machines, subnet {subnet} is there")]
        return [*checks, *(line for region in self._cloud.regions for line in self._quota(region))]

    def _quota(self, region: str) -> Iterator[Check]:
        try:
            with translated(f"asking {region} for its quota"):
                usages = {str(one.name.value): one for one in self._compute.usage.list(region)}
        except CloudError as error:
            yield Check(f"region {region}", False, error.message, QUOTA_ROLE if error.hint == ROLE else error.hint)
            return
        for name in ("cores", "lowPriorityCores"):
            if name in usages:
                used, limit = usages[name].current_value, usages[name].limit
                mend = "" if limit else "ask for more under Quotas in the portal"
                yield Check(f"{name} in {region}", limit > 0, f"{used} of {limit} in use", mend)

    # What one launch asks for

    def _interface(self, request: LaunchRequest, name: str) -> str:
        """The id of the machine's network interface, made if absent, with its address."""
        made = {"location": request.offer.region, "tags": self._tags(request)}
        address: dict[str, Any] = {}
        if self._public:
            given: Any = {**made, "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}}
            poller = self._network.public_ip_addresses.begin_create_or_update(
                self._group, f"{name}-ip", given, polling_interval=POLL_S
            )
            address_id = poller.result(ALLOCATION_S).id
            address = {"publicIPAddress": {"id": address_id, "properties": {"deleteOption": "Delete"}}}
        vnet, _, subnet = self._cloud.network.partition("/")
        subnet_id = f"{self._scope}/providers/Microsoft.Network/virtualNetworks/{vnet}/subnets/{subnet}"
        configured = {"name": "main", "properties": {"subnet": {"id": subnet_id}, **address}}
        interface: Any = {**made, "properties": {"ipConfigurations": [configured]}}
        done = self._network.network_interfaces.begin_create_or_update(
            self._group, f"{name}-nic", interface, polling_interval=POLL_S
        )
        return str(done.result(ALLOCATION_S).id)

    def _machine(self, request: LaunchRequest, name: str, interface: str) -> dict[str, Any]:
        offer = request.offer
        login = {"path": f"/home/{ADMIN}/.ssh/authorized_keys", "keyData": request.authorized_key}
        most = {"maxPrice": most_usd(request.max_hourly_usd)}
        spot = {"priority": "Spot", "evictionPolicy": "Delete", "billingProfile": most}
        return {
            "location": offer.region,
            "tags": self._tags(request),
            **({"zones": [offer.zone.rpartition("-")[2]]} if offer.zone else {}),
            "identity": {"type": "UserAssigned", "userAssignedIdentities": {self._cloud.options["identity"]: {}}},
            "properties": {
                "hardwareProfile": {"vmSize": offer.machine_type},
                "storageProfile": {"imageReference": image(self._cloud.image or IMAGE), "osDisk": self._disk(name)},
                "osProfile": {
                    "computerName": name,
                    "adminUsername": ADMIN,
                    "customData": base64.b64encode(request.user_data.encode()).decode(),
                    "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": {"publicKeys": [login]}},
                },
                "networkProfile": {
                    "networkInterfaces": [{"id": interface, "properties": {"primary": True, "deleteOption": "Delete"}}]
                },
                **(spot if request.market is Market.SPOT else {}),
            },
        }

    def _disk(self, name: str) -> dict[str, Any]:
        made = {"createOption": "FromImage", "deleteOption": "Delete", "diskSizeGB": self._disk_gib}
        return {"name": f"{name}-disk", **made, "managedDisk": {"storageAccountType": "StandardSSD_LRS"}}

    def _tags(self, request: LaunchRequest) -> dict[str, str]:
        exact = dict(zip(TAGS, (request.cluster, request.machine_id, request.token), strict=True))
        return {**request.tags, **exact}

    def _launch(self, name: str, machine: Any) -> None:
        """Comes back when there is room, or after a while. Where there is none, nothing of the machine stays."""
        try:
            poller = self._compute.virtual_machines.begin_create_or_update(
                self._group, name, machine, match_condition=MatchConditions.IfMissing, polling_interval=POLL_S
            )
            poller.wait(ALLOCATION_S)  # raises what the operation ended with
        except HttpResponseError as error:
            if error.status_code == 412:
                return  # another call with this token was first
            try:
                with translated(f"launching {name}"):
                    raise error
            except (NoCapacity, LaunchRefused):
                with suppress(CloudError):  # the collector finds what stays: it carries our tags
                    self.destroy(name)
                raise

    # What there is

    def _find(self, name: str) -> Any:
        try:
            return self._compute.virtual_machines.get(self._group, name)
        except ResourceNotFoundError:
            return None

    def _look(self, name: str) -> Instance | None:
        return next(
            (one for one in self.list() if one.instance_id == name and one.state is not InstanceState.GONE), None
        )

    def _ours(self, resource: Any) -> bool:
        return bool((resource.tags or {}).get(TAGS[0]) == self._cluster)

    def _instance(self, one: Any, addresses: Mapping[str, Any], interfaces: Mapping[str, Any]) -> Instance:
        outer = addresses.get(f"{one.name}-ip")
        inner = interfaces.get(f"{one.name}-nic")
        private = inner.ip_configurations[0].private_ip_address if inner and inner.ip_configurations else ""
        return Instance(
            instance_id=one.name,
            machine_id=one.tags.get(TAGS[1], ""),
            token=one.tags.get(TAGS[2], ""),
            state=self._state(one),
            region=one.location,
            zone=f"{one.location}-{one.zones[0]}" if one.zones else "",
            address=((outer.ip_address if outer else "") if self._public else private) or "",
            user=agent_user(self._cloud),
            launched_at=one.time_created.timestamp() if one.time_created else 0.0,
        )

    def _state(self, one: Any) -> InstanceState:
        if one.provisioning_state in PROVISIONING:
            return PROVISIONING[one.provisioning_state]
        try:
            statuses = self._compute.virtual_machines.instance_view(self._group, one.name).statuses or ()
        except ResourceNotFoundError:
            return InstanceState.GONE
        power = [str(one.code).partition("/")[2] for one in statuses if str(one.code).startswith("PowerState/")]
        return STATES.get(power[0], InstanceState.STOPPED) if power else InstanceState.PENDING

    # Clients

    @property
    def _scope(self) -> str:
        return f"/subscriptions/{self._cloud.options['subscription']}/resourceGroups/{self._group}"

    @cached_property
    def _how(self) -> dict[str, Any]:
        endpoint = self._cloud.endpoint  # no retries: the head tries again by itself, with the same token
        at = {"base_url": endpoint, "credential_scopes": [f"{endpoint}/.default"]} if endpoint else {}
        return {"credential": credential(self._cloud), "retry_total": 0, **at}

    @cached_property
    def _compute(self) -> ComputeManagementClient:
        return ComputeManagementClient(subscription_id=self._cloud.options["subscription"], **self._how)

    @cached_property
    def _network(self) -> NetworkManagementClient:
        return NetworkManagementClient(subscription_id=self._cloud.options["subscription"], **self._how)


def credential(cloud: Cloud) -> DefaultAzureCredential:
    authority = cloud.options.get("authority")
    elsewhere: dict[str, Any] = {"authority": authority, "disable_instance_discovery": True} if authority else {}
    return DefaultAzureCredential(**elsewhere)


def machine_name(request: LaunchRequest) -> str:
    """At most 64 letters, digits and ``-``; the token's digest makes it this attempt's alone."""
    machine = re.sub("[^a-z0-9-]", "-", request.machine_id.lower())[:40].strip("-")
    return f"bw-{machine}-{hashlib.sha256(request.token.encode()).hexdigest()[:12]}"


def most_usd(hourly: float) -> float:
    """Azure takes five decimals. Rounded up: rounded down, a price with more of them could never be met."""
    return math.ceil(hourly * 1e5 - 1e-9) / 1e5


def image(text: str) -> dict[str, str]:
    """PUBLISHER:OFFER:SKU:VERSION, or a resource id."""
    parts = text.split(":")
    return dict(zip(("publisher", "offer", "sku", "version"), parts, strict=True)) if len(parts) == 4 else {"id": text}


def half_made(name: str, part: Any) -> Instance:
    """A machine of which only parts are there."""
    tags = part.tags
    return Instance(name, tags.get(TAGS[1], ""), tags.get(TAGS[2], ""), InstanceState.PENDING, region=part.location)
