"""Which of a vendor's permissions a request takes, as the vendor documents it; what it does not document is left out.

| vendor | where |
|---|---|
| EC2 | Service Authorization Reference, "Actions, resources, and condition keys for Amazon EC2" |
| S3 | Amazon S3 User Guide, "Required permissions for Amazon S3 API operations" |
| Compute Engine | "Create and start a VM instance", required permissions; the IAM section of each method's reference |
| Azure | "Azure resource provider operations" for Compute, Network and ManagedIdentity: `join`, `assign` |
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from emulator.messages import Request

S3 = {
    "HeadObject": ("GetObject", "ListBucket"),  # without the second what is absent would be forbidden, not missing
    "GetObject": ("GetObject",),
    "PutObject": ("PutObject",),
    "CreateMultipartUpload": ("PutObject",),
    "UploadPart": ("PutObject",),
    "CompleteMultipartUpload": ("PutObject",),
    "AbortMultipartUpload": ("AbortMultipartUpload",),
    "DeleteObject": ("DeleteObject",),
    "ListObjectsV2": ("ListBucket",),
    "ListMultipartUploads": ("ListBucketMultipartUploads",),
}
GOOGLE = {
    "instances.get": ("compute.instances.get",),
    "instances.delete": ("compute.instances.delete",),
    "instances.aggregatedList": ("compute.instances.list",),
    "instances.setDiskAutoDelete": ("compute.instances.update",),
    "disks.aggregatedList": ("compute.disks.list",),
    "disks.delete": ("compute.disks.delete",),
    "zoneOperations.get": ("compute.zoneOperations.get",),
    "zoneOperations.wait": ("compute.zoneOperations.get",),
    "regions.get": ("compute.regions.get",),
}


def of_aws(service: str, action: str, form: Mapping[str, str]) -> Iterator[str]:
    if service == "s3":
        yield from (f"s3:{name}" for name in S3.get(action, ()))
    elif service == "ec2":
        yield f"ec2:{action}"
        if action == "RunInstances" and any(name.startswith("TagSpecification.") for name in form):
            yield "ec2:CreateTags"
        if form.get("ImageId", "").startswith("resolve:ssm:"):
            yield "ssm:GetParameters"


def of_google(action: str, request: Request) -> Iterator[str]:
    yield from GOOGLE.get(action, ())
    if action != "instances.insert":
        return
    given = request.json()
    yield "compute.instances.create"
    for disk in given.get("disks", ()):
        if "initializeParams" in disk:
            yield from ("compute.disks.create", "compute.images.useReadOnly")
            if disk["initializeParams"].get("labels"):
                yield "compute.disks.setLabels"
    for interface in given.get("networkInterfaces", ()):
        yield "compute.subnetworks.use"
        if "subnetwork" not in interface:  # a legacy network has none, and is used itself
            yield "compute.networks.use"
        if interface.get("accessConfigs"):
            yield "compute.subnetworks.useExternalIp"
    for field, what in (("labels", "Labels"), ("metadata", "Metadata"), ("serviceAccounts", "ServiceAccount")):
        if given.get(field):
            yield f"compute.instances.set{what}"


def of_azure(kind: str, more: str, request: Request) -> Iterator[str]:
    """``kind``: ``Microsoft.Compute/virtualMachines``, ``more``: what follows the name."""
    verb = {"GET": "read", "PUT": "write", "DELETE": "delete"}.get(request.method, "action")
    if more:
        kind = f"{kind}/{more.partition('/')[0]}"
    yield f"{kind}/{verb}"
    if request.method == "PUT":
        text = json.dumps(request.json())
        yield from (name for word, name in NAMED_BY_AZURE.get(kind, {}).items() if word in text)


NAMED_BY_AZURE: Mapping[str, Mapping[str, str]] = {
    "Microsoft.Compute/virtualMachines": {
        "osDisk": "Microsoft.Compute/disks/write",
        "networkInterfaces": "Microsoft.Network/networkInterfaces/join/action",
        "userAssignedIdentities": "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
    },
    "Microsoft.Network/networkInterfaces": {
        "subnets": "Microsoft.Network/virtualNetworks/subnets/join/action",
        "publicIPAddress": "Microsoft.Network/publicIPAddresses/join/action",
    },
}
"""What the body names → what that takes besides."""
