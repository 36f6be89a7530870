"""Which file serves which provider. Its SDK is only imported when a cloud of that kind is configured."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from beowulf.cloud.provider import Provider
from beowulf.model.errors import BeowulfError
from beowulf.model.renting import Cloud

if TYPE_CHECKING:
    from beowulf.cloud.blob import Container
    from beowulf.cloud.gcs import Bucket as GoogleBucket
    from beowulf.cloud.s3 import Bucket

PROVIDERS: Mapping[str, str] = {  # called with the `Cloud` and the cluster's name
    "aws": "beowulf.cloud.aws:Aws",
    "gcp": "beowulf.cloud.gcp:Gcp",
    "azure": "beowulf.cloud.azure:Azure",
    "slurm": "beowulf.cloud.slurm:Slurm",
}


DEPOTS: Mapping[str, str] = {  # called with the `Cloud`, the region and the cluster's name
    "aws": "beowulf.cloud.s3:Bucket",
    "gcp": "beowulf.cloud.gcs:Bucket",
    "azure": "beowulf.cloud.blob:Container",
}


def depots(clouds: Sequence[Cloud], cluster: str) -> Mapping[str, Bucket | GoogleBucket | Container]:
    """By site, where inputs are put for its machines: wherever an option ``bucket.REGION`` names a bucket. Raises
    `BeowulfError` when its SDK is not installed."""
    return {
        f"{cloud.name}:{region}": cast("Bucket", _loaded(cloud, DEPOTS[cloud.provider])(cloud, region, cluster))
        for cloud in clouds
        for region in cloud.regions
        if cloud.provider in DEPOTS and f"bucket.{region}" in cloud.options
    }


def build(cloud: Cloud, cluster: str) -> Provider:
    """Raises `BeowulfError` when its SDK is not installed, or `BadInput` for options it cannot work with."""
    return cast(Provider, _loaded(cloud, PROVIDERS[cloud.provider])(cloud, cluster))


def _loaded(cloud: Cloud, where: str) -> Callable[..., object]:
    module, _, name = where.partition(":")
    try:
        return cast(Callable[..., object], getattr(importlib.import_module(module), name))
    except ImportError as error:
        raise BeowulfError(
            f"cloud {cloud.name}: {error.name or module} is not installed",
            hint=f"pip install 'beowulf[{cloud.provider}]'",
        ) from error
