"""What the decision to buy machines goes by. Money in US dollars (inf: no limit), times in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from beowulf.model.cloud import Market, Offer
from beowulf.model.job import JobId

UNLIMITED = float("inf")
DEFAULT = ""  # the key of what holds for providers that are not named

Sale: TypeAlias = tuple[str, str, str, Market]
"""(site, zone, machine type, market)"""


@dataclass(frozen=True, slots=True)
class Left:
    """What may still be spent; the worst cases of what was bought already are taken off. Who is not named: no limit."""

    month_usd: float = UNLIMITED
    users: Mapping[str, float] = field(default_factory=dict)
    projects: Mapping[str, float] = field(default_factory=dict)  # a project is a queue of the job file
    jobs: Mapping[JobId, float] = field(default_factory=dict)  # spent or reserved for the job so far: not what is left


@dataclass(frozen=True, slots=True)
class Line:
    """The way between the head and a site, in 10⁶ bytes a second."""

    up_mb_per_s: float = 10.0
    down_mb_per_s: float = 10.0


@dataclass(frozen=True, slots=True)
class MarketRules:
    """``offers``: of configured providers and regions, at prices that may be believed; empty: nothing is bought."""

    offers: tuple[Offer, ...] = ()
    left: Left = Left()
    boot_s: Mapping[str, float] = field(default_factory=lambda: {DEFAULT: 180.0})  # by provider: call → takes a job
    lines: Mapping[str, Line] = field(default_factory=lambda: {DEFAULT: Line()})  # by provider
    spot_life_s: Mapping[str, float] = field(default_factory=lambda: {DEFAULT: 4 * 3600.0})  # mean time to a reclaim
    lease_s: float = 900.0  # a machine nobody hears of is gone after so long, at the latest
    tick_s: float = 30.0  # the head looks so often
    machines: int = 20  # at most so many at once, those on their way included
    sold_out: frozenset[Sale] = frozenset()  # asked for in vain lately
