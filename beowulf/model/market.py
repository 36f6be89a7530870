"""What the decision to buy machines goes by. Money in US dollars (inf: no limit), times in seconds, MB = 10⁶ bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from beowulf.model.cloud import Market, Offer
from beowulf.model.job import JobId

UNLIMITED = float("inf")
OWN = "own"  # the source of an offer that nobody asks money for
DEFAULT = ""  # the key of what holds for those that are not named

Sale: TypeAlias = tuple[str, str, str, Market]
"""(site, zone, machine type, market)"""


Place: TypeAlias = tuple[str, str, str]
"""(site, zone, machine type)"""


def place_of(offer: Offer) -> Place:
    return offer.site, offer.zone, offer.machine_type


@dataclass(frozen=True, slots=True)
class SpotSeen:
    """Of one place: how long spot was watched and was there, how long machines ran in all, how many were taken back."""

    watched_s: float = 0.0
    there_s: float = 0.0
    up_s: float = 0.0
    reclaims: int = 0


@dataclass(frozen=True, slots=True)
class Left:
    """What may still be spent; the worst cases of what was bought already are taken off. Who is not named: no limit."""

    month_usd: float = UNLIMITED
    users: Mapping[str, float] = field(default_factory=dict)
    projects: Mapping[str, float] = field(default_factory=dict)  # by `JobSpec.budget`
    job_usd: float = UNLIMITED  # the most any one job may cost; its own budget may be less
    jobs: Mapping[JobId, float] = field(default_factory=dict)  # spent or reserved for the job so far: not what is left


@dataclass(frozen=True, slots=True)
class Line:
    """The way between the head and a site, as it is believed to be where nobody measured it."""

    up_mb_per_s: float = 10.0
    down_mb_per_s: float = 10.0
    round_trip_ms: float = 100.0


@dataclass(frozen=True, slots=True)
class Accelerator:
    """What the planner knows of a kind. ``speed``: of two kinds that have one, how much faster the one trains."""

    vendor: str = "nvidia"
    capability: str = ""
    speed: float = 0.0


@dataclass(frozen=True, slots=True)
class MarketRules:
    """``offers``: those of configured providers and regions, whatever their prices; empty: nothing is ever bought."""

    offers: tuple[Offer, ...] = ()
    left: Left = Left()
    boot_s: Mapping[str, float] = field(default_factory=lambda: {DEFAULT: 180.0})  # by provider: call → takes a job
    lines: Mapping[str, Line] = field(default_factory=lambda: {DEFAULT: Line()})  # by provider
    spot_life_s: Mapping[str, float] = field(default_factory=lambda: {DEFAULT: 4 * 3600.0})  # until a reclaim, unseen
    spot_seen: Mapping[Place, SpotSeen] = field(default_factory=dict)  # what the head's own history says of spot
    accelerators: Mapping[str, Accelerator] = field(default_factory=dict)  # by their short names
    stale_after_s: float = 120 * 86400.0  # an older price is not believed
    lease_s: float = 900.0  # a machine nobody hears of is gone after so long, at the latest
    ready_timeout_s: float = 900.0  # what takes no job so long after its order is ended
    overrun_s: float = 60.0  # by so much a lease may be overrun
    tick_s: float = 30.0  # the head looks so often
    idle_s: float = 600.0  # a machine with nothing to do is given back
    machines: int = 20  # at most so many at once, those on their way included
    environment_mb: float = 500.0  # what a job's requirements weigh; once per site
    results_mb: float = 100.0  # what a job with outputs brings home where it does not say
    sold_out: frozenset[Sale] = frozenset()  # asked for in vain lately
