"""Google Compute Engine: one instance per machine, by google-cloud-compute over REST.

A launch is idempotent twice: by the request id (a UUID made of the token; Google honours it for an hour) and by the
instance's name, made of the token as well. Labels find the machines, the exact words stand in the metadata. Google ends
each one itself after ``limit_hours`` and deletes it with its disk. A disk that stays all the same has the labels, too.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from typing import Any

import google.auth
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession
from google.cloud import compute_v1

from beowulf.cloud import gcp_bodies
from beowulf.cloud.gcp_bodies import SCOPE, described, digest, instance_name, label, metadata
from beowulf.cloud.gcp_errors import LOG_IN, ROLE, kind_of_operation, translated
from beowulf.cloud.options import check_options
from beowulf.cloud.provider import NO_ANSWER, Check, Instance, InstanceState, LaunchRequest, once_asked
from beowulf.cloud.requests import agent_user
from beowulf.model.errors import CloudError, LaunchRefused, NoCapacity, TokenSpent, Unclear
from beowulf.model.renting import Cloud

RESOURCE_MANAGER = "https://cloudresourcemanager.googleapis.com"
CALL_S = 30.0
ONCE: Any = {"timeout": CALL_S, "retry": None}  # the head tries again by itself
OPERATION_S = 120.0
PERMISSIONS = (
    *("compute.disks.create", "compute.disks.delete", "compute.disks.list", "compute.disks.setLabels"),
    *("compute.images.useReadOnly", "compute.networks.use", "compute.regions.get", "compute.subnetworks.use"),
    *("compute.subnetworks.useExternalIp", "compute.zoneOperations.get"),
    *("compute.instances.create", "compute.instances.delete", "compute.instances.get", "compute.instances.list"),
    *("compute.instances.setLabels", "compute.instances.setMetadata", "compute.instances.setServiceAccount"),
)
"""Those of nodes/policies/gcp-role.yaml."""
STATES = {
    **dict.fromkeys(("PROVISIONING", "STAGING"), InstanceState.PENDING),
    **dict.fromkeys(("RUNNING", "REPAIRING"), InstanceState.RUNNING),
    **dict.fromkeys(("STOPPING", "PENDING_STOP", "SUSPENDING", "DEPROVISIONING"), InstanceState.STOPPING),
}
"""https://cloud.google.com/compute/docs/instances/instance-lifecycle; TERMINATED and SUSPENDED still have a disk."""


class Gcp:
    """`Provider` for one project. Options: ``project`` (else the credentials' own), ``limit_hours`` (24), ``disk_gib``
    (50), ``service_account`` (by which a machine without a head deletes itself; see docs/cloud.md),
    ``address`` (``private``: the head is inside the network)."""

    def __init__(self, cloud: Cloud, cluster: str) -> None:
        check_options(cloud)
        self.name = cloud.name
        self._cloud = cloud
        self._cluster = cluster

    def create(self, request: LaunchRequest) -> Instance:
        zone, name = self._zone(request), instance_name(request)
        insert = compute_v1.InsertInstanceRequest(
            project=self._project,
            zone=zone,
            request_id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{request.cluster}/{request.token}")),
            instance_resource=gcp_bodies.resource(self._cloud, request, zone),
        )
        operation = None
        # Conflict: the name is taken, by this very token, an hour ago or more.
        with translated(f"launching {name} in {zone}"), suppress(exceptions.Conflict):
            operation = self._instances.insert_unary(insert, **ONCE)
        if operation is not None:
            self._await(operation, zone, name)
        with once_asked(), translated(f"looking for {name}"):
            try:
                return self._instance(self._instances.get(project=self._project, zone=zone, instance=name, **ONCE))
            except exceptions.NotFound as error:
                raise TokenSpent(f"{name} was launched once and is gone") from error

    def list(self, regions: Collection[str] = ()) -> Sequence[Instance]:
        wanted = {"project": self._project, "filter": f"labels.beowulf-cluster={label(self._cluster)}"}
        machines = self._everywhere(self._instances, compute_v1.AggregatedListInstancesRequest(wanted), "instances")
        disks = self._everywhere(self._disks, compute_v1.AggregatedListDisksRequest(wanted), "disks")
        ours = [self._instance(one) for one in machines if metadata(one).get("beowulf-cluster") == self._cluster]
        return [*ours, *(part(one) for one in disks if described(one)[0] == self._cluster and not one.users)]

    def _everywhere(self, client: Any, wanted: Any, what: str) -> Sequence[Any]:
        """Of all zones, or an error: half a list would prove machines absent that are not."""
        found: list[Any] = []
        with translated(f"listing {what}"):
            for zone, scoped in client.aggregated_list(wanted, **ONCE):
                if scoped.warning.code == "UNREACHABLE":
                    raise Unclear(f"{zone} does not answer: {scoped.warning.message}")
                found += getattr(scoped, what)
        return found

    def destroy(self, instance_id: str) -> None:
        zone, _, name = instance_id.partition("/")
        where: Any = {"project": self._project, "zone": zone}
        with translated(f"deleting {instance_id}"), suppress(exceptions.NotFound):
            if name.startswith("disks/"):
                self._disks.delete_unary(**where, disk=name.removeprefix("disks/"), **ONCE)
            else:
                self._instances.delete_unary(**where, instance=name, **ONCE)

    def check(self) -> Sequence[Check]:
        try:
            checks = [Check("credentials", True, f"project {self._project}"), *self._permissions()]
        except CloudError as error:
            return [Check("credentials", False, error.message, error.hint or NO_ANSWER)]
        return [*checks, *(self._region(region) for region in self._cloud.regions)]

    # One launch

    def _zone(self, request: LaunchRequest) -> str:
        """The offer's, or one of its region's by the token: a retry goes to the same, the next attempt elsewhere."""
        if request.offer.zone:
            return request.offer.zone
        with translated(f"looking up {request.offer.region}"):
            region = self._regions.get(project=self._project, region=request.offer.region, **ONCE)
        zones = sorted(url.rpartition("/")[2] for url in region.zones)
        if not zones:
            raise NoCapacity(f"{request.offer.region} has no zones")
        return zones[int(digest(request.token), 16) % len(zones)]

    def _await(self, operation: compute_v1.Operation, zone: str, name: str) -> None:
        """Until it is done. Raises what its error means, or Unclear: it takes too long, or nothing is heard of it."""
        until = time.monotonic() + OPERATION_S
        while operation.status != compute_v1.Operation.Status.DONE:
            if time.monotonic() > until:
                raise Unclear(f"launching {name} goes on after {OPERATION_S:g} s")
            with once_asked(), translated(f"launching {name}"):
                operation = self._operations.wait(
                    project=self._project, zone=zone, operation=operation.name, timeout=OPERATION_S, retry=None
                )
            if operation.status != compute_v1.Operation.Status.DONE:
                time.sleep(0.1)  # `wait` may come back early when Google is busy
        for error in operation.error.errors:
            raise kind_of_operation(error.code)(f"{error.code}: {error.message}")

    def _instance(self, one: compute_v1.Instance) -> Instance:
        zone = one.zone.rpartition("/")[2]
        words = metadata(one)
        inner = one.network_interfaces[0] if one.network_interfaces else compute_v1.NetworkInterface()
        outer = next((config.nat_i_p for config in inner.access_configs if config.nat_i_p), "")
        private = self._cloud.options.get("address") == "private"
        return Instance(
            instance_id=f"{zone}/{one.name}",
            machine_id=words.get("beowulf-machine", ""),
            token=words.get("beowulf-token", ""),
            state=STATES.get(one.status, InstanceState.STOPPED),
            region=zone.rpartition("-")[0],
            zone=zone,
            address=inner.network_i_p if private else outer,
            user=agent_user(self._cloud),
            launched_at=datetime.fromisoformat(one.creation_timestamp).timestamp() if one.creation_timestamp else 0.0,
        )

    # Who we are and what we may do

    def _permissions(self) -> Iterator[Check]:
        url = f"{self._cloud.endpoint or RESOURCE_MANAGER}/v1/projects/{self._project}:testIamPermissions"
        session = AuthorizedSession(self._credentials[0])  # type: ignore[no-untyped-call]
        with translated("asking for our permissions"), session:
            reply = session.post(url, json={"permissions": PERMISSIONS}, timeout=CALL_S)
        if reply.status_code != 200:
            yield Check(
                "permissions", False, f"{reply.status_code} {reply.text[:200]}", "enable the Resource Manager API"
            )
            return
        granted = set(reply.json().get("permissions", ()))
        for name in PERMISSIONS:
            ok = name in granted
            yield Check(f"permission {name}", ok, "granted" if ok else "missing", "" if ok else ROLE)

    def _region(self, name: str) -> Check:
        try:
            with translated(f"looking up {name}"):
                found = self._regions.get(project=self._project, region=name, **ONCE)
        except CloudError as error:
            return Check(f"region {name}", False, error.message, "is it spelt right, and is the Compute API enabled?")
        quotas = {quota.metric: f"{quota.metric} {quota.usage:g} of {quota.limit:g}" for quota in found.quotas}
        told = [text for metric, text in sorted(quotas.items()) if metric in ("CPUS", "PREEMPTIBLE_CPUS")]
        return Check(f"region {name}", True, ", ".join([f"{len(found.zones)} zones", *told]))

    # Clients

    @cached_property
    def _credentials(self) -> tuple[Any, str | None]:
        try:
            credentials, project = google.auth.default(scopes=[SCOPE])
        except GoogleAuthError as error:
            raise LaunchRefused(str(error), hint=LOG_IN) from error
        return credentials, project

    @property
    def _project(self) -> str:
        project = self._cloud.options.get("project") or self._credentials[1]
        if not project:
            raise LaunchRefused("no project is known", hint=f"set options: project of cloud {self.name}")
        return project

    @cached_property
    def _how(self) -> dict[str, Any]:
        chosen = ClientOptions(api_endpoint=self._cloud.endpoint) if self._cloud.endpoint else None
        return {"credentials": self._credentials[0], "client_options": chosen, "transport": "rest"}

    @cached_property
    def _instances(self) -> compute_v1.InstancesClient:
        return compute_v1.InstancesClient(**self._how)

    @cached_property
    def _disks(self) -> compute_v1.DisksClient:
        return compute_v1.DisksClient(**self._how)

    @cached_property
    def _operations(self) -> compute_v1.ZoneOperationsClient:
        return compute_v1.ZoneOperationsClient(**self._how)

    @cached_property
    def _regions(self) -> compute_v1.RegionsClient:
        return compute_v1.RegionsClient(**self._how)


def part(one: compute_v1.Disk) -> Instance:
    """A disk that no machine has."""
    zone, (_, machine_id, token) = one.zone.rpartition("/")[2], described(one)
    return Instance(f"{zone}/disks/{one.name}", machine_id, token, InstanceState.PART, zone.rpartition("-")[0], zone)
