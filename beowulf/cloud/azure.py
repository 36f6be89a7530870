"""Azure: one virtual machine with its address, network interface and disk, by azure-mgmt-compute and -network.

Every resource is named after the token and carries our tags, and Azure's PUT makes what is absent: however often a
launch is repeated, there is one machine. Its parts are deleted with it. What a crash leaves half made is listed as a
machine that is still to come: its attempt finishes it, or the collector destroys it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import DefaultAzureCredential
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.network import NetworkManagementClient

from beowulf.cloud import azure_bodies
from beowulf.cloud.azure_bodies import TAGS, machine_name
from beowulf.cloud.azure_errors import ROLE, operation_failed, translated
from beowulf.cloud.options import check_options
from beowulf.cloud.provider import NO_ANSWER, Check, Instance, InstanceState, LaunchRequest, once_asked
from beowulf.cloud.requests import agent_user
from beowulf.model.errors import CloudError, LaunchRefused, NoCapacity, TokenSpent, Unclear
from beowulf.model.renting import Cloud

QUOTA_ROLE = "assign the role in nodes/policies/azure-quota-role.json on the subscription"
DISK = "disks/"  # how the id of a disk without a machine begins; names of machines have no slash
ALLOCATION_S = 60.0  # how long we wait to hear that there is no room
POLL_S = 1
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
        check_options(cloud)
        self.name = cloud.name
        self._cloud = cloud
        self._cluster = cluster
        self._group = cloud.options["resource_group"]
        self._public = cloud.options.get("address") != "private"

    def create(self, request: LaunchRequest) -> Instance:
        name = machine_name(request)
        with translated(f"launching {name}"):
            if self._find(name) is None:
                interface = self._interface(request, name)
                self._launch(name, azure_bodies.machine(self._cloud, request, name, interface))
        with once_asked(), translated(f"looking for {name}"):
            found = self._find(name)
            if found is None:
                raise TokenSpent(f"{name} was launched once and is gone")
            return self._instance(found, {}, {})  # the list tells its address

    def list(self, regions: Collection[str] = ()) -> Sequence[Instance]:
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
        parts: list[Any] = [*addresses.values(), *interfaces.values()]
        for part in parts:
            whole = str(part.name).rpartition("-")[0]
            if self._ours(part) and whole not in found:
                found[whole] = half_made(whole, part)
        # Those that an image brings have names that Azure makes up, and stay when the machine goes.
        return [*found.values(), *(half_made(f"{DISK}{one.name}", one) for one in disks if self._ours(one))]

    def destroy(self, instance_id: str) -> None:
        """Asks for the machine's end, which takes the parts along; without a machine, for the end of its parts."""
        with translated(f"deleting {instance_id}"):
            if instance_id.startswith(DISK):
                with suppress(ResourceNotFoundError):
                    self._compute.disks.begin_delete(self._group, instance_id.removeprefix(DISK), polling=False)
                return
            if self._find(instance_id):
                self._compute.virtual_machines.begin_delete(
                    self._group, instance_id, force_deletion=True, polling=False
                )
                return
            with suppress(ResourceNotFoundError):
                self._network.network_interfaces.begin_delete(
                    self._group, f"{instance_id}-nic", polling_interval=POLL_S
                ).wait(ALLOCATION_S)
            with suppress(ResourceNotFoundError):
                self._network.public_ip_addresses.begin_delete(self._group, f"{instance_id}-ip", polling=False)

    def check(self) -> Sequence[Check]:
        try:
            with translated("looking into the resource group"):
                count = sum(1 for _ in self._compute.virtual_machines.list(self._group))
                vnet, _, subnet = self._cloud.network.partition("/")
                self._network.subnets.get(self._group, vnet, subnet)
        except CloudError as error:
            mend = error.hint or (NO_ANSWER if isinstance(error, Unclear) else ROLE)
            return [Check(f"resource group {self._group}", False, error.message, mend)]
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

    # One launch

    def _interface(self, request: LaunchRequest, name: str) -> str:
        """The id of the machine's network interface, made if absent, with its address."""
        address_id = ""
        if self._public:
            given: Any = azure_bodies.address(request)
            poller = self._network.public_ip_addresses.begin_create_or_update(
                self._group, f"{name}-ip", given, polling_interval=POLL_S
            )
            address_id = str(poller.result(ALLOCATION_S).id)
        interface: Any = azure_bodies.interface(self._cloud, request, address_id)
        done = self._network.network_interfaces.begin_create_or_update(
            self._group, f"{name}-nic", interface, polling_interval=POLL_S
        )
        return str(done.result(ALLOCATION_S).id)

    def _launch(self, name: str, machine: Any) -> None:
        """Comes back when there is room, or after a while. Where there is none, nothing of the machine stays."""
        try:
            with translated(f"launching {name}"):
                self._ask(name, machine)
        except (NoCapacity, LaunchRefused):
            with suppress(CloudError):  # the collector finds what stays: it carries our tags
                self.destroy(name)
            raise

    def _ask(self, name: str, machine: Any) -> None:
        try:
            poller = self._compute.virtual_machines.begin_create_or_update(
                self._group, name, machine, match_condition=MatchConditions.IfMissing, polling_interval=POLL_S
            )
        except HttpResponseError as error:
            if error.status_code != 412:
                raise
            return  # another call with this token was first
        try:
            poller.wait(ALLOCATION_S)  # raises what the operation ended with
        except HttpResponseError as error:
            if not operation_failed(error):
                raise Unclear(f"nothing is heard of {name}: {error.message}") from error
            raise

    # What there is

    def _find(self, name: str) -> Any:
        try:
            return self._compute.virtual_machines.get(self._group, name)
        except ResourceNotFoundError:
            return None

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


def half_made(name: str, resource: Any) -> Instance:
    """What there is of a machine without the machine."""
    tags = resource.tags
    return Instance(name, tags.get(TAGS[1], ""), tags.get(TAGS[2], ""), InstanceState.PART, region=resource.location)
