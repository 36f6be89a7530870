"""What one launch asks Google for, and how its words are found again: pure, of the settings and the request."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from google.cloud import compute_v1

from beowulf.cloud.options import number
from beowulf.cloud.provider import LaunchRequest
from beowulf.model.cloud import Market
from beowulf.model.renting import Cloud

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
IMAGE = "projects/ubuntu-os-cloud/global/images/family/ubuntu-2204-lts"  # Google's Debian has no cloud-init
WORDS = ("beowulf-cluster", "beowulf-machine", "beowulf-token")
BOUGHT_WITH_N1 = {
    "T4": "nvidia-tesla-t4",
    "P4": "nvidia-tesla-p4",
    "P100": "nvidia-tesla-p100",
    "V100": "nvidia-tesla-v100",
}


def resource(cloud: Cloud, request: LaunchRequest, zone: str) -> compute_v1.Instance:
    offer, exact = request.offer, words_of(request)
    kind = BOUGHT_WITH_N1.get(offer.accelerator) if offer.machine_type.startswith("n1-") else None
    account = cloud.options.get("service_account")
    items = {**exact, "user-data": request.user_data, "block-project-ssh-keys": "TRUE", "enable-oslogin": "FALSE"}
    labels = {label(key): label(value) for key, value in {**request.tags, **exact}.items()}
    return compute_v1.Instance(
        name=instance_name(request),
        machine_type=f"zones/{zone}/machineTypes/{offer.machine_type}",
        labels=labels,
        metadata=compute_v1.Metadata(items=[compute_v1.Items(key=key, value=text) for key, text in items.items()]),
        disks=[_disk(cloud, request, labels)],
        network_interfaces=[_interface(cloud, offer.region or zone.rpartition("-")[0])],
        scheduling=_scheduling(cloud, request),
        guest_accelerators=[
            compute_v1.AcceleratorConfig(
                accelerator_type=f"zones/{zone}/acceleratorTypes/{kind}", accelerator_count=offer.accelerators
            )
        ] if kind else [],
        service_accounts=[compute_v1.ServiceAccount(email=account, scopes=[SCOPE])] if account else [],
    )  # fmt: skip


def _disk(cloud: Cloud, request: LaunchRequest, labels: Mapping[str, str]) -> compute_v1.AttachedDisk:
    """It goes with its machine; one that stays all the same is known by its labels, and its description is exact."""
    made_of = compute_v1.AttachedDiskInitializeParams(
        source_image=cloud.image or IMAGE,
        disk_size_gb=int(number(cloud, "disk_gib")),
        labels=labels,
        description=" ".join(words_of(request).values()),
    )
    return compute_v1.AttachedDisk(boot=True, auto_delete=True, initialize_params=made_of)


def _interface(cloud: Cloud, region: str) -> compute_v1.NetworkInterface:
    interface = compute_v1.NetworkInterface()
    if cloud.network:
        interface.subnetwork = f"regions/{region}/subnetworks/{cloud.network}"
    else:
        interface.network = "global/networks/default"
    if cloud.options.get("address") != "private":
        interface.access_configs = [compute_v1.AccessConfig(name="External NAT", type_="ONE_TO_ONE_NAT")]
    return interface


def _scheduling(cloud: Cloud, request: LaunchRequest) -> compute_v1.Scheduling:
    """Google deletes it after the limit. The limit cannot be moved while it runs, so the lease is the guest's."""
    return compute_v1.Scheduling(
        provisioning_model="SPOT" if request.market is Market.SPOT else "STANDARD",
        instance_termination_action="DELETE",
        max_run_duration=compute_v1.Duration(seconds=int(max(3600 * number(cloud, "limit_hours"), request.lease_s))),
        on_host_maintenance="TERMINATE",
        automatic_restart=False,
    )


def words_of(request: LaunchRequest) -> Mapping[str, str]:
    return dict(zip(WORDS, (request.cluster, request.machine_id, request.token), strict=True))


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


def described(one: compute_v1.Disk) -> tuple[str, str, str]:
    """(cluster, machine, token) of a disk of ours; empty words of another."""
    words = one.description.split(" ")
    return (words[0], words[1], words[2]) if len(words) == len(WORDS) else ("", "", "")
