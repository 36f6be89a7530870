"""Google Compute Engine: one instance per machine, by google-cloud-compute over REST.

A launch is idempotent twice: by the request id (a UUID made of the token; Google honours it for an hour) and by the
instance's name, made of the token as well. Labels find the machines, the exact words stand in the metadata. Google ends
each one itself after ``limit_hours`` and deletes it with its disk.
"""

from __future__ import annotations

import hashlib
import re
import time
import uuid
from collections.abc import Iterator, Sequence
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

from beowulf.cloud.gcp_errors import LOG_IN, ROLE, kind_of_operation, translated
from beowulf.cloud.options import check_options, number
from beowulf.cloud.provider import Check, Instance, InstanceState, LaunchRequest
from beowulf.cloud.requests import agent_user
from beowulf.model.cloud import Market
from beowulf.model.errors import CloudError, LaunchRefused, NoCapacity, TokenSpent, Unclear
from beowulf.model.renting import Cloud

OPTIONS = ("project", "limit_hours", "disk_gib", "service_account", "address")
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
IMAGE = "projects/ubuntu-os-cloud/global/images/family/ubuntu-2204-lts"  # Google's Debian has no cloud-init
RESOURCE_MANAGER = "https://cloudresourcemanager.googleapis.com"
WORDS = ("beowulf-cluster", "beowulf-machine", "beowulf-token")
CALL_S = 30.0
OPERATION_S = 120.0
PERMISSIONS = (
    *("compute.disks.create", "compute.images.useReadOnly", "compute.networks.use", "compute.regions.get"),
    *("compute.subnetworks.use", "compute.subnetworks.useExternalIp", "compute.zoneOperations.get"),
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
BOUGHT_WITH_N1 = {
    "T4": "nvidia-tesla-t4",
    "P4": "nvidia-tesla-p4",
    "P100": "nvidia-tesla-p100",
    "V100": "nvidia-tesla-v100",
}


class Gcp:
    """`Provider` for one project. Options: ``project`` (else the credentials' own), ``limit_hours`` (24), ``disk_gib``
    (50), ``service_account`` (by which a machine without a head deletes itself; see docs/cloud.md),
    ``address`` (``private``: the head is inside the network)."""

    def __init__(self, cloud: Cloud, cluster: str) -> None:
        check_options(cloud, OPTIONS, families=("bucket.",))
        self.name = cloud.name
        self._cloud = cloud
        self._cluster = cluster
        self._limit_s = 3600 * number(cloud, "limit_hours", 24.0)
        self._disk_gib = int(number(cloud, "disk_gib", 50.0))

    def create(self, request: LaunchRequest) -> Instance:
        zone, name = self._zone(request), instance_name(request)
        insert = compute_v1.InsertInstanceRequest(
            project=self._project,
            zone=zone,
            request_id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{request.cluster}/{request.token}")),
            instance_resource=self._resource(request, zone, name),
        )
        with translated(f"launching {name} in {zone}"):
            try:
                operation = self._instances.insert_unary(insert, timeout=CALL_S)
                self._await(operation, zone, name)
            except exceptions.Conflict:
                pass  # the name is taken: by this very token, an hour ago or more
        try:
            found = self._instances.get(project=self._project, zone=zone, instance=name, timeout=CALL_S)
        except exceptions.NotFound as error:
            raise TokenSpent(f"{name} was launched once and is gone") from error
        except (exceptions.GoogleAPICallError, OSError) as error:
            raise Unclear(f"{name}: {error}") from error
        return self._instance(found)

    def list(self) -> Sequence[Instance]:
        wanted = compute_v1.AggregatedListInstancesRequest(
            project=self._project, filter=f"labels.beowulf-cluster={label(self._cluster)}"
        )
        found: list[compute_v1.Instance] = []
        with translated("listing instances"):
            pages = self._instances.aggregated_list(wanted, timeout=CALL_S)
            for zone, scoped in pages:
                warning: Any = scoped.warning
                if warning.code == "UNREACHABLE":
                    raise Unclear(f"{zone} does not answer: {warning.message}")
                found += scoped.instances
        return [self._instance(one) for one in found if metadata(one).get("beowulf-cluster") == self._cluster]

    def destroy(self, instance_id: str) -> None:
        zone, _, name = instance_id.partition("/")
        with translated(f"deleting {instance_id}"), suppress(exceptions.NotFound):
            self._instances.delete_unary(project=self._project, zone=zone, instance=name, timeout=CALL_S)

    def check(self) -> Sequence[Check]:
        try:
            checks = [Check("credentials", True, f"project {self._project}"), *self._permissions()]
        except (CloudError, GoogleAuthError, OSError) as error:
            said = error.message if isinstance(error, CloudError) else str(error)
            return [Check("credentials", False, said, LOG_IN)]
        return [*checks, *(self._region(region) for region in self._cloud.regions)]

    # What one launch asks for

    def _resource(self, request: LaunchRequest, zone: str, name: str) -> compute_v1.Instance:
        offer = request.offer
        exact = dict(zip(WORDS, (request.cluster, request.machine_id, request.token), strict=True))
        kind = BOUGHT_WITH_N1.get(offer.accelerator) if offer.machine_type.startswith("n1-") else None
        account = self._cloud.options.get("service_account")
        items = {**exact, "user-data": request.user_data, "block-project-ssh-keys": "TRUE", "enable-oslogin": "FALSE"}
        return compute_v1.Instance(
            name=name,
            machine_type=f"zones/{zone}/machineTypes/{offer.machine_type}",
            labels={label(key): label(value) for key, value in {**request.tags, **exact}.items()},
            metadata=compute_v1.Metadata(items=[compute_v1.Items(key=key, value=text) for key, text in items.items()]),
            disks=[self._disk()],
            network_interfaces=[self._interface(offer.region or zone.rpartition("-")[0])],
            scheduling=self._scheduling(request),
            guest_accelerators=[
                compute_v1.AcceleratorConfig(
                    accelerator_type=f"zones/{zone}/acceleratorTypes/{kind}", accelerator_count=offer.accelerators
                )
            ] if kind else [],
            service_accounts=[compute_v1.ServiceAccount(email=account, scopes=[SCOPE])] if account else [],
        )  # fmt: skip

    def _disk(self) -> compute_v1.AttachedDisk:
        image = self._cloud.image or IMAGE
        made_of = compute_v1.AttachedDiskInitializeParams(source_image=image, disk_size_gb=self._disk_gib)
        return compute_v1.AttachedDisk(boot=True, auto_delete=True, initialize_params=made_of)

    def _interface(self, region: str) -> compute_v1.NetworkInterface:
        interface = compute_v1.NetworkInterface()
        if self._cloud.network:
            interface.subnetwork = f"regions/{region}/subnetworks/{self._cloud.network}"
        else:
            interface.network = "global/networks/default"
        if self._cloud.options.get("address") != "private":
            interface.access_configs = [compute_v1.AccessConfig(name="External NAT", type_="ONE_TO_ONE_NAT")]
        return interface

    def _scheduling(self, request: LaunchRequest) -> compute_v1.Scheduling:
        """Google deletes it after the limit. The limit cannot be moved while it runs, so the lease is the guest's."""
        return compute_v1.Scheduling(
            provisioning_model="SPOT" if request.market is Market.SPOT else "STANDARD",
            instance_termination_action="DELETE",
            max_run_duration=compute_v1.Duration(seconds=int(max(self._limit_s, request.lease_s))),
            on_host_maintenance="TERMINATE",
            automatic_restart=False,
        )

    def _zone(self, request: LaunchRequest) -> str:
        """The offer's, or one of its region's by the token: a retry goes to the same, the next attempt elsewhere."""
        if request.offer.zone:
            return request.offer.zone
        with translated(f"looking up {request.offer.region}"):
            region = self._regions.get(project=self._project, region=request.offer.region, timeout=CALL_S)
        zones = sorted(url.rpartition("/")[2] for url in region.zones)
        if not zones:
            raise NoCapacity(f"{request.offer.region} has no zones")
        return zones[int(digest(request.token), 16) % len(zones)]

    def _await(self, operation: compute_v1.Operation, zone: str, name: str) -> None:
        """Until it is done. Raises what its error means, or Unclear when it takes too long."""
        until = time.monotonic() + OPERATION_S
        while operation.status != compute_v1.Operation.Status.DONE:
            if time.monotonic() > until:
                raise Unclear(f"launching {name} goes on after {OPERATION_S:g} s")
            operation = self._operations.wait(
                project=self._project, zone=zone, operation=operation.name, timeout=OPERATION_S
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
        with AuthorizedSession(self._credentials[0]) as session:  # type: ignore[no-untyped-call]
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
                found = self._regions.get(project=self._project, region=name, timeout=CALL_S)
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
    def _operations(self) -> compute_v1.ZoneOperationsClient:
        return compute_v1.ZoneOperationsClient(**self._how)

    @cached_property
    def _regions(self) -> compute_v1.RegionsClient:
        return compute_v1.RegionsClient(**self._how)


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()[:12]


def instance_name(request: LaunchRequest) -> str:
    """RFC 1035 and at most 63 characters; the token's digest makes it this attempt's alone."""
    return f"bw-{re.sub('[^a-z0-9-]', '-', request.machine_id.lower())[:40].strip('-')}-{digest(request.token)}"


def label(text: str) -> str:
    """Small letters, digits, ``-`` and ``_``, at most 63: what labels may hold."""
    return re.sub(r"[^a-z0-9_-]", "_", text.lower())[:63]


def metadata(one: compute_v1.Instance) -> dict[str, str]:
    return {item.key: item.value for item in one.metadata.items}
