"""The face every provider shows: four verbs over plain values, and errors that say what came of a call.

Implementations block, hold no state that a restart would miss, and take endpoints from the settings file and
credentials from the vendor's own chain. Errors are the `CloudError`s of `model.errors`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from beowulf.model.cloud import Instance as Instance
from beowulf.model.cloud import InstanceState as InstanceState
from beowulf.model.cloud import Market, Offer
from beowulf.model.errors import LaunchRefused, NoCapacity, Unclear


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


NO_ANSWER = "is there a way from the head to that address? (its network, a proxy, endpoint: in the settings)"


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

    def list(self, regions: Collection[str] = ()) -> Sequence[Instance]:
        """All machines with this cluster's tag in every configured region and in ``regions``, and what is left of some
        (`PART`); of nobody else's."""

    def destroy(self, instance_id: str) -> None:
        """Ask it to end, with its disks and addresses. Of what is gone already: nothing happens."""

    def check(self) -> Sequence[Check]:
        """Who we are there and what we may do, without buying anything."""


@contextmanager
def once_asked() -> Iterator[None]:
    """Around the calls that follow the one that launches: a "no" to them (a permission, credentials that ran out) does
    not say that there is no machine."""
    try:
        yield
    except (LaunchRefused, NoCapacity) as error:
        raise Unclear(error.message, hint=error.hint) from error
