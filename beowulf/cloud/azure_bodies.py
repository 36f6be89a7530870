"""What one launch asks Azure for, resource by resource: pure, of the settings and the request."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from typing import Any

from beowulf.cloud.options import number
from beowulf.cloud.provider import LaunchRequest
from beowulf.model.cloud import Market
from beowulf.model.renting import Cloud

IMAGE = "Canonical:0001-com-ubuntu-server-jammy:22_04-lts-gen2:latest"
ADMIN = "azureuser"  # Azure wants one; the cloud-config decides who there really is
TAGS = ("beowulf-cluster", "beowulf-machine", "beowulf-token")


def address(request: LaunchRequest) -> dict[str, Any]:
    return {**_ours(request), "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}}


def interface(cloud: Cloud, request: LaunchRequest, address_id: str) -> dict[str, Any]:
    """``address_id``: "" where the head is inside the network."""
    outer = {"publicIPAddress": {"id": address_id, "properties": {"deleteOption": "Delete"}}} if address_id else {}
    vnet, _, subnet = cloud.network.partition("/")
    scope = f"/subscriptions/{cloud.options['subscription']}/resourceGroups/{cloud.options['resource_group']}"
    subnet_id = f"{scope}/providers/Microsoft.Network/virtualNetworks/{vnet}/subnets/{subnet}"
    configured = {"name": "main", "properties": {"subnet": {"id": subnet_id}, **outer}}
    return {**_ours(request), "properties": {"ipConfigurations": [configured]}}


def machine(cloud: Cloud, request: LaunchRequest, name: str, interface_id: str) -> dict[str, Any]:
    """Its disks get its tags (Azure copies them when it makes a disk with its machine)."""
    offer = request.offer
    login = {"path": f"/home/{ADMIN}/.ssh/authorized_keys", "keyData": request.authorized_key}
    most = {"maxPrice": most_usd(request.max_hourly_usd)}
    spot = {"priority": "Spot", "evictionPolicy": "Delete", "billingProfile": most}
    return {
        **_ours(request),
        **({"zones": [offer.zone.rpartition("-")[2]]} if offer.zone else {}),
        "identity": {"type": "UserAssigned", "userAssignedIdentities": {cloud.options["identity"]: {}}},
        "properties": {
            "hardwareProfile": {"vmSize": offer.machine_type},
            "storageProfile": {"imageReference": _image(cloud.image or IMAGE), "osDisk": _disk(cloud, name)},
            "osProfile": {
                "computerName": name,
                "adminUsername": ADMIN,
                "customData": base64.b64encode(request.user_data.encode()).decode(),
                "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": {"publicKeys": [login]}},
            },
            "networkProfile": {
                "networkInterfaces": [{"id": interface_id, "properties": {"primary": True, "deleteOption": "Delete"}}]
            },
            **(spot if request.market is Market.SPOT else {}),
        },
    }


def _ours(request: LaunchRequest) -> dict[str, Any]:
    exact = dict(zip(TAGS, (request.cluster, request.machine_id, request.token), strict=True))
    return {"location": request.offer.region, "tags": {**request.tags, **exact}}


def _disk(cloud: Cloud, name: str) -> dict[str, Any]:
    made = {"createOption": "FromImage", "deleteOption": "Delete", "diskSizeGB": int(number(cloud, "disk_gib"))}
    return {"name": f"{name}-disk", **made, "managedDisk": {"storageAccountType": "StandardSSD_LRS"}}


def _image(text: str) -> dict[str, str]:
    """PUBLISHER:OFFER:SKU:VERSION, or a resource id."""
    parts = text.split(":")
    return dict(zip(("publisher", "offer", "sku", "version"), parts, strict=True)) if len(parts) == 4 else {"id": text}


def machine_name(request: LaunchRequest) -> str:
    """At most 64 letters, digits and ``-``; the token's digest makes it this attempt's alone."""
    named = re.sub("[^a-z0-9-]", "-", request.machine_id.lower())[:40].strip("-")
    return f"bw-{named}-{hashlib.sha256(request.token.encode()).hexdigest()[:12]}"


def most_usd(hourly: float) -> float:
    """Azure takes five decimals. Rounded up: rounded down, a price with more of them could never be met."""
    return math.ceil(hourly * 1e5 - 1e-9) / 1e5
