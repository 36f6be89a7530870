"""A machine's intent → the one request that goes with its token, whoever makes it and however often."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

from beowulf.burst.user_data import Values, user_data
from beowulf.cloud.options import number
from beowulf.cloud.provider import LaunchRequest
from beowulf.model.cloud import Machine, MachineId, Market, Offer
from beowulf.model.errors import BadInput
from beowulf.model.renting import Cloud

USER = "beowulf"  # whom cloud-init makes for the agent, unless the settings name another


def shipped(name: str) -> Path:
    """A file of `nodes/`: beside the package in a checkout, below the prefix once installed."""
    beside = Path(__file__).resolve().parents[2] / "nodes" / name
    return beside if beside.exists() else Path(sys.prefix) / "share" / "beowulf" / "nodes" / name


def template_of(cloud: Cloud) -> str:
    """The text of its cloud-init template. Raises `BadInput` where it cannot be read."""
    path = Path(cloud.template) if cloud.template else shipped(f"cloud-init/{cloud.provider}.yaml")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot be read: {error}", where=str(path)) from error


def agent_user(cloud: Cloud) -> str:
    return cloud.user or USER


def build_request(
    machine: Machine, cloud: Cloud, cluster: str, template: str, private_key: str, authorized_key: str
) -> LaunchRequest:
    user = agent_user(cloud)
    values = Values(
        cluster=cluster,
        machine=machine.id,
        user=user,
        home="/root" if user == "root" else f"/home/{user}",
        lease_s=f"{machine.lease_s:.0f}",
        host_key_private=private_key,
        host_key_public=machine.host_key,
        authorized_key=authorized_key,
        market=machine.market.value,
        limit_s=f"{max(3600 * number(cloud, 'limit_hours'), machine.lease_s):.0f}",
    )
    return LaunchRequest(
        token=machine.token,
        machine_id=machine.id,
        cluster=cluster,
        offer=machine.offer,
        market=machine.market,
        user_data=user_data(template, values),
        authorized_key=authorized_key,
        lease_s=machine.lease_s,
        max_hourly_usd=machine.max_hourly_usd,
    )


def digest(machine: MachineId, offer: Offer, market: Market, cloud: Cloud, template: str, host_key: str) -> str:
    """Of everything a request is made from, the token aside: equal requests have equal ones."""
    parts = (machine, asdict(offer), market.value, asdict(cloud), template, host_key)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
