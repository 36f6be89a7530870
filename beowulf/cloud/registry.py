"""Which file serves which provider. Its SDK is only imported when a cloud of that kind is configured."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from beowulf.cloud.provider import Provider
from beowulf.model.errors import BeowulfError
from beowulf.model.renting import Cloud

if TYPE_CHECKING:
    from beowulf.cloud.s3 import Bucket

PROVIDERS: Mapping[str, str] = {  # called with the `Cloud` and the cluster's name
    "aws": "beowulf.cloud.aws:Aws",
    "gcp": "beowulf.cloud.gcp:Gcp",
    "azure": "beowulf.cloud.azure:Azure",
    "slurm": "beowulf.cloud.slurm:Slurm",
}


def depots(clouds: Sequence[Cloud], cluster: str) -> Mapping[str, Bucket]:
    """By site, where inputs are put for its machines: wherever an option ``bucket.REGION`` names a bucket."""
    return {
        f"{cloud.name}:{region}": _bucket(cloud, region, cluster)
        for cloud in clouds
        for region in cloud.regions
        if cloud.provider == "aws" and f"bucket.{region}" in cloud.options
    }


def _bucket(cloud: Cloud, region: str, cluster: str) -> Bucket:
    from beowulf.cloud.s3 import Bucket  # boto3 is slow to import, and an extra

    return Bucket(cloud, region, cluster)


def build(cloud: Cloud, cluster: str) -> Provider:
    """Raises `BeowulfError` when its SDK is not installed, or `BadInput` for options it cannot work with."""
    module, _, name = PROVIDERS[cloud.provider].partition(":")
    try:
        make = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise BeowulfError(
            f"cloud {cloud.name}: {error.name or module} is not installed",
            hint=f"pip install 'beowulf[{cloud.provider}]'",
        ) from error
    return cast(Provider, make(cloud, cluster))
