"""The face every provider shows: four verbs over plain values, and errors that say what came of a call.

Implementations block, hold no state that a restart would miss, and take endpoints from the settings file and
credentials from the vendor's own chain. Errors are the `CloudError`s of `model.errors`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from beowulf.model.cloud import Market, Offer


class InstanceState(StrEnum):
    """Every vendor's words, as far as they matter here."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"  # on its way out: asked to end, not gone yet; maybe billed
    STOPPED = "STOPPED"  # not running but still there (a disk is billed): has to be destroyed
    GONE = "GONE"  # terminated, and only listed for a while


@dataclass(frozen=True, slots=True)
class Instance:
    """What the provider says of one machine that carries this cluster's tag."""

    instance_id: str  # what `destroy` takes
    machine_id: str  # from our tags: "aws-7"; "" where the tag is missing
    token: str  # the client token in our tags
    state: InstanceState
    region: str = ""
    zone: str = ""
    address: str = ""  # where SSH is reached; "" until known
    port: int = 22
    user: str = ""
    proxy_jump: str = ""  # "user@host:port"
    launched_at: float = 0.0  # by the provider's clock; 0: not told


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """Everything of one launch. The same ``token`` always comes with an equal request."""

    token: str
    machine_id: str
    cluster: str
    offer: Offer
    market: Market
    user_data: str  # cloud-config text
    authorized_key: str  # the cluster's public key
    lease_s: float  # the provider's own timer, where it has one, is set to this or more
    max_hourly_usd: float  # the most a spot machine may cost
    tags: Mapping[str, str] = field(default_factory=dict)  # besides those the provider sets itself


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `beowulf cloud login-check`."""

    what: str  # "credentials", "permission ec2:RunInstances", …
    ok: bool
    detail: str
    remedy: str = ""


class Provider(Protocol):
    """``name`` as in `Offer.provider`. All calls may raise a `CloudError`."""

    name: str

    def create(self, request: LaunchRequest) -> Instance:
        """Idempotent by ``request.token``: however often it is called, there is at most one machine."""

    def list(self) -> Sequence[Instance]:
        """All machines with this cluster's tag in every configured region; of nobody else's."""

    def destroy(self, instance_id: str) -> None:
        """Ask it to end, with its disks and addresses. Of what is gone already: nothing happens."""

    def check(self) -> Sequence[Check]:
        """Who we are there and what we may do, without buying anything."""
