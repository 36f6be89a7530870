"""Which file serves which provider. Its SDK is only imported when a cloud of that kind is configured."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import cast

from beowulf.cloud.provider import Provider
from beowulf.model.errors import BeowulfError
from beowulf.model.renting import Cloud

PROVIDERS: Mapping[str, str] = {  # called with the `Cloud` and the cluster's name
    "aws": "beowulf.cloud.aws:Aws",
    "gcp": "beowulf.cloud.gcp:Gcp",
    "azure": "beowulf.cloud.azure:Azure",
    "slurm": "beowulf.cloud.slurm:Slurm",
}


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
