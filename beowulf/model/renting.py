"""What an administrator says of rented machines: where, how long they are kept, and how much they may cost.

Money in US dollars, times in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from beowulf.model.cloud import Offer
from beowulf.model.market import UNLIMITED


@dataclass(frozen=True, slots=True)
class Cloud:
    """One configured provider. ``options`` are its own: each provider's file says which it takes."""

    name: str  # as in `Offer.provider`
    provider: str  # which file of `cloud/`: aws, gcp, azure, slurm
    regions: tuple[str, ...] = ()
    network: str = ""  # the vendor's name of the subnet
    image: str = ""
    user: str = ""  # who the agent logs in as; "": the template's
    endpoint: str = ""  # "": the vendor's own
    template: str = ""  # a cloud-init file; "": the one that ships for this provider
    machines: tuple[Offer, ...] = ()  # those of a site of our own, which no catalogue knows
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Caps:
    """The most that may be spent; ``users`` and ``projects`` name exceptions. Projects: see `JobSpec.budget`."""

    month_usd: float = 0.0  # of the calendar month, UTC; nothing is bought before one is set
    user_usd: float = UNLIMITED  # each one in a month
    project_usd: float = UNLIMITED
    job_usd: float = UNLIMITED  # over the job's whole life; a job's own budget may be less
    users: Mapping[str, float] = field(default_factory=dict)
    projects: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Renting:
    lease_s: float = 900.0  # a machine ends itself so long after the head's last word
    idle_release_s: float = 600.0
    ready_timeout_s: float = 900.0  # from the intent to a linked agent
    grace_s: float = 60.0  # a machine that no list shows for so long is gone
    list_every_s: float = 30.0
    keep_warm: int = 0  # so many idle machines are kept
    machines: int = 20  # at most so many at once
    stale_after_s: float = 120 * 86400.0  # a price older than this buys nothing
    caps: Caps = Caps()
    clouds: tuple[Cloud, ...] = ()
