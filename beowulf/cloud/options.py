"""What the settings file says of one cloud, checked: options are words, and a misspelt one must not pass in silence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from beowulf.burst.user_data import LIMIT_HOURS
from beowulf.model.errors import BadInput
from beowulf.model.renting import Cloud

LEAST_LIMIT_S = 900.0


@dataclass(frozen=True, slots=True)
class Known:
    """``families``: how names may begin that end with a region or a zone; ``numbers``: with what they are otherwise."""

    names: tuple[str, ...]
    needed: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    numbers: Mapping[str, float] | None = None


OPTIONS: Mapping[str, Known] = {
    "aws": Known(
        ("security_group", "placement_group", "address", "disk_gib", "limit_hours"),
        families=("subnet.", "image.", "bucket."),
        numbers={"disk_gib": 8.0, "limit_hours": LIMIT_HOURS},
    ),
    "gcp": Known(
        ("project", "limit_hours", "disk_gib", "service_account", "address"),
        families=("bucket.",),
        numbers={"limit_hours": 24.0, "disk_gib": 50.0},
    ),
    "azure": Known(
        ("subscription", "resource_group", "identity", "authority", "disk_gib", "address", "limit_hours"),
        needed=("subscription", "resource_group", "identity"),
        families=("bucket.",),
        numbers={"disk_gib": 64.0, "limit_hours": LIMIT_HOURS},
    ),
    "slurm": Known(("login", "programs", "arguments", "limit_hours", "output"), numbers={"limit_hours": 4.0}),
}


def check_options(cloud: Cloud) -> None:
    """Without its SDK, so that the head can refuse them when it starts. Raises BadInput."""
    known, where = OPTIONS[cloud.provider], f"cloud {cloud.name}"
    for name in cloud.options:
        if name not in known.names and not name.startswith(known.families):
            raise BadInput(f"option {name!r} is not known ({', '.join(known.names)})", where=where)
    for name in known.needed:
        if not cloud.options.get(name):
            raise BadInput(f"option {name!r} is missing", where=where)
    for name in known.numbers or ():
        number(cloud, name)
    if cloud.options.get("address", "public") not in ("public", "private"):
        raise BadInput(f"address is {cloud.options['address']!r}, not public or private", where=where)
    if cloud.provider == "aws" and not cloud.regions:
        raise BadInput("name at least one region", where=where, hint="regions: [us-east-1]")
    if cloud.provider == "azure" and cloud.network.count("/") != 1:
        raise BadInput(f"network is {cloud.network!r}, not VNET/SUBNET", where=where)
    if cloud.provider == "slurm" and 3600.0 * number(cloud, "limit_hours") < LEAST_LIMIT_S:
        raise BadInput("limit_hours is less than a quarter of an hour", where=where)


def number(cloud: Cloud, name: str) -> float:
    """The option as a positive number, or what it is unless it is set. Raises BadInput."""
    text = cloud.options.get(name, "")
    numbers = OPTIONS[cloud.provider].numbers or {}
    try:
        value = float(text or numbers[name])
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise BadInput(f"{name} is {text!r}, which is no positive number", where=f"cloud {cloud.name}")
    return value
