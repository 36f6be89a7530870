"""What the scheduler goes by: the policy's name and the numbers an administrator may set. Times in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from beowulf.model.market import MarketRules
from beowulf.model.node import NodeId

POLICY_NAMES = ("fair", "fifo", "easy", "conservative", "short")
PLACEMENT_NAMES = ("makespan", "fastest", "fairness", "cost", "blind")
EVERYBODY = "*"


@dataclass(frozen=True, slots=True)
class Weights:
    """What each factor of a job's standing counts. Age grows without bound, so every job comes first in the end."""

    age: float = 1.0  # per `Rules.age_full_s` of waiting
    fair_share: float = 2.0
    size: float = 0.5
    service: float = 4.0


@dataclass(frozen=True, slots=True)
class ServiceClass:
    """``preempts``: the classes whose running jobs may be queued again in favour of this one's."""

    weight: float = 0.0  # 0 … 1
    preempts: tuple[str, ...] = ()
    grace_s: float = 1800.0  # a job of this class is not preempted before it ran this long


@dataclass(frozen=True, slots=True)
class Quota:
    """At most so much in use at once. ``user``, ``queue``, ``project``: ``*``: each by itself, ``""``: all together."""

    user: str = ""
    queue: str = ""
    gpu_kind: str = ""  # of the GPUs counted; "": any
    gpus: int = -1  # -1: no limit
    cpus: int = -1  # hardware threads
    jobs: int = -1
    project: str = ""


@dataclass(frozen=True, slots=True)
class Project:
    """``share``: what is due to all of it together, beside other projects and users without one."""

    share: float = 1.0
    users: tuple[str, ...] = ()  # whose jobs are its by themselves, and who may name it; empty: anybody may


@dataclass(frozen=True, slots=True)
class Maintenance:
    """These nodes are nobody's from ``start`` to ``end`` (seconds since the epoch)."""

    nodes: tuple[NodeId, ...]
    start: float
    end: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    policy: str = "fair"
    depth: int = 0  # jobs that get a reservation; 0: as the policy says
    weights: Weights = Weights()
    age_full_s: float = 86400.0
    half_life_s: float = 7 * 86400.0  # after this long, a thread-second used counts half
    shares: Mapping[str, float] = field(default_factory=dict)  # by user; those not named have one
    projects: Mapping[str, Project] = field(default_factory=dict)
    classes: Mapping[str, ServiceClass] = field(default_factory=dict)
    quotas: tuple[Quota, ...] = ()
    maintenance: tuple[Maintenance, ...] = ()
    estimate: bool = True  # predict jobs without max_duration from earlier runs of their kind
    moves: bool = True  # jobs that can go on from a checkpoint may be moved to faster devices that are free
    placement: str = "makespan"  # what the choice among unequal devices is to serve
    device_usd: Mapping[str, float] = field(default_factory=dict)  # by kind: of one device (or thread) for an hour
    told: Mapping[str, Mapping[tuple[str, int], float]] = field(default_factory=dict)
    """Steps/s by family and (kind of device, ranks) that nobody had to measure here: a replayed trace's."""
    market: MarketRules = MarketRules()

    def project_of(self, user: str) -> str:
        """The project that the user's jobs are for where they do not say; "": none."""
        return next((name for name, one in self.projects.items() if user in one.users), "")

    def service(self, name: str) -> ServiceClass:
        return self.classes.get(name) or ServiceClass()
