"""Everything that can happen, as frozen values. A state never changes without one of these (invariant I8).

``at`` is seconds since the epoch by the head's clock. Late events of an older attempt are recognised by their
attempt number and change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, get_args

from beowulf.model.allocation import Allocation
from beowulf.model.clock import Clock, ClockStepped
from beowulf.model.job import JobId, JobSpec, RankExit, Result, Tree
from beowulf.model.node import Endpoint, Facts, NodeId, Profile
from beowulf.model.rented import MachineEvent


@dataclass(frozen=True, slots=True)
class JobSubmitted:
    at: float
    job_id: JobId
    number: int
    spec: JobSpec
    owner: str
    uid: int
    array: tuple[int, ...] = ()  # empty: one job; else one task per index, ids "17_3"
    key: str = ""  # the client's idempotency key
    key_digest: str = ""  # of the request's body


@dataclass(frozen=True, slots=True)
class StartPromised:
    """The job's first reservation with a moment: it starts at ``start_at`` at the latest, as far as is known now."""

    at: float
    job_id: JobId
    start_at: float


@dataclass(frozen=True, slots=True)
class JobPlaced:
    """A new attempt begins: the whole gang's allocation."""

    at: float
    job_id: JobId
    attempt: int
    allocation: Allocation


@dataclass(frozen=True, slots=True)
class AttemptLaunched:
    """Every node is prepared: the ranks are being started, and meet at ``master_port`` of rank 0's node.

    ``ports`` are the free ones of all nodes, in the order of their shares; none where none was asked for.
    """

    at: float
    job_id: JobId
    attempt: int
    master_port: int
    ports: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ShareStarted:
    at: float
    job_id: JobId
    attempt: int
    node: NodeId


@dataclass(frozen=True, slots=True)
class ProcessExited:
    at: float
    job_id: JobId
    attempt: int
    exit: RankExit


@dataclass(frozen=True, slots=True)
class CancelRequested:
    at: float
    job_id: JobId
    by: str


@dataclass(frozen=True, slots=True)
class AttemptEnding:
    """The end is decided; what is left of the gang is being torn down."""

    at: float
    job_id: JobId
    attempt: int
    result: Result
    reason: str
    resize_to: int = 0  # nodes the next attempt shall have, when this one ends for that


@dataclass(frozen=True, slots=True)
class ShareCleared:
    """Nothing of the attempt is left on the node (swept, or the node was rebooted): its devices are free again."""

    at: float
    job_id: JobId
    attempt: int
    node: NodeId
    note: str = ""


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """``requeue`` puts the job back in the queue, when ``resuming`` before everything else of its priority and for at
    most ``most_nodes`` nodes (0: as its spec says); else the job has ended with ``result``."""

    at: float
    job_id: JobId
    attempt: int
    result: Result
    reason: str
    requeue: bool = False
    counted: bool = True  # a requeue that counts against retry.max
    resuming: bool = False
    most_nodes: int = 0


@dataclass(frozen=True, slots=True)
class CheckpointKept:
    """The head holds a newer checkpoint of the job, whole and checked; ``node`` made it in this attempt."""

    at: float
    job_id: JobId
    attempt: int
    node: NodeId
    step: int
    tree: Tree


@dataclass(frozen=True, slots=True)
class PaceMeasured:
    """How fast the ranks of a running attempt go, by what they report; each one replaces the one before."""

    at: float
    job_id: JobId
    attempt: int
    steps_per_s: float


@dataclass(frozen=True, slots=True)
class JobEnded:
    """A job that never got an attempt, or waits between two, ends: cancelled, or its dependency can't be met."""

    at: float
    job_id: JobId
    result: Result
    reason: str


@dataclass(frozen=True, slots=True)
class NodeAdded:
    at: float
    node: NodeId
    endpoint: Endpoint
    host_key: str
    groups: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    site: str = "lab"
    max_cpus: int = 0
    max_memory_mib: int = 0
    share_gpus: int = 1
    share_between_users: bool = False


@dataclass(frozen=True, slots=True)
class NodeRemoved:
    at: float
    node: NodeId


@dataclass(frozen=True, slots=True)
class NodeUp:
    at: float
    node: NodeId
    root: str
    facts: Facts


@dataclass(frozen=True, slots=True)
class NodeDown:
    at: float
    node: NodeId
    reason: str


@dataclass(frozen=True, slots=True)
class NodeDrained:
    at: float
    node: NodeId
    reason: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class NodeResumed:
    at: float
    node: NodeId
    by: str = ""


@dataclass(frozen=True, slots=True)
class NodeRefused:
    """The machine is in use under another name: no device may be given out twice."""

    at: float
    node: NodeId
    same_as: NodeId
    reason: str


@dataclass(frozen=True, slots=True)
class NodeAccepted:
    """No other name stands for the machine any more."""

    at: float
    node: NodeId


@dataclass(frozen=True, slots=True)
class NodeRekeyed:
    at: float
    node: NodeId
    host_key: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class NodeProfiled:
    """What the node can do was measured; the profile replaces the one before."""

    at: float
    node: NodeId
    profile: Profile


@dataclass(frozen=True, slots=True)
class ControllerStarted:
    """A controller took the store over: what it has not heard from a node itself, it does not know."""

    at: float
    epoch: int
    clock: Clock | None = None


@dataclass(frozen=True, slots=True)
class PeersUnreachable:
    """``node`` sees the head but not ``peer``: no gang may span the two until ``until``."""

    at: float
    node: NodeId
    peer: NodeId
    detail: str
    until: float


Event: TypeAlias = (
    JobSubmitted
    | StartPromised
    | JobPlaced
    | AttemptLaunched
    | ShareStarted
    | ProcessExited
    | CancelRequested
    | AttemptEnding
    | ShareCleared
    | AttemptEnded
    | CheckpointKept
    | PaceMeasured
    | JobEnded
    | NodeAdded
    | NodeRemoved
    | NodeUp
    | NodeDown
    | NodeDrained
    | NodeResumed
    | NodeRefused
    | NodeAccepted
    | NodeRekeyed
    | NodeProfiled
    | PeersUnreachable
    | ControllerStarted
    | ClockStepped
    | MachineEvent
)

EVENT_TYPES: dict[str, type[Event]] = {kind.__name__: kind for kind in get_args(Event)}
