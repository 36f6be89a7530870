"""What the scheduler says. "No" is a value with a code users know from Slurm and a sentence with the numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from beowulf.model.allocation import Allocation
from beowulf.model.cloud import Market, Offer
from beowulf.model.job import JobId
from beowulf.model.node import NodeId

RESOURCES = "Resources"  # would fit, but others are there now
PRIORITY = "Priority"  # somebody ahead waits for the same nodes
DEPENDENCY = "Dependency"
DEPENDENCY_NEVER_SATISFIED = "DependencyNeverSatisfied"
NODE_NOT_AVAILABLE = "ReqNodeNotAvail"  # would fit if nodes were up, or not kept for maintenance
BAD_CONSTRAINTS = "BadConstraints"  # would not fit even on the idle cluster with every node up
QUOTA = "Quota"
CANCELLED = "Cancelled"
NOT_BY_ITSELF = (DEPENDENCY_NEVER_SATISFIED, NODE_NOT_AVAILABLE, BAD_CONSTRAINTS)
"""What no job's end changes: somebody has to do something."""


@dataclass(frozen=True, slots=True)
class Refusal:
    code: str
    sentence: str


Reason: TypeAlias = Refusal


@dataclass(frozen=True, slots=True)
class Placement:
    allocation: Allocation


@dataclass(frozen=True, slots=True)
class Start:
    job_id: JobId
    allocation: Allocation


@dataclass(frozen=True, slots=True)
class Stop:
    """End this attempt and queue its job again: ``for_job`` may preempt it."""

    job_id: JobId
    attempt: int
    for_job: JobId
    sentence: str


@dataclass(frozen=True, slots=True)
class Reservation:
    """``job_id`` can start on ``nodes`` at ``at`` (seconds since the epoch; inf: nobody knows) whatever starts now."""

    job_id: JobId
    at: float
    nodes: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class Grow:
    """Rent ``count`` machines of this offer for the job: all of one gang, or as many as it still lacks.

    ``beside``: nodes of our own that they join in one gang.
    ``home_bytes``: what each of them is expected to send home.
    """

    job_id: JobId
    offer: Offer
    market: Market
    count: int
    sentence: str
    beside: tuple[NodeId, ...] = ()
    home_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """``waiting`` has a reason for every pending job that neither starts nor is ``dead``.

    ``dead``: jobs whose dependency can never be met, with the sentence they should end with.
    ``impossible``: the waiting ones that the nodes which are up now could never run; they block nobody.
    ``again_at``: when time alone changes what can start (inf: only events do). Ranks also move with age, slowly.
    """

    starts: tuple[Start, ...] = ()
    waiting: Mapping[JobId, Reason] = field(default_factory=dict)
    dead: tuple[tuple[JobId, str], ...] = ()
    impossible: tuple[JobId, ...] = ()
    stops: tuple[Stop, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    grow: tuple[Grow, ...] = ()
    again_at: float = float("inf")
