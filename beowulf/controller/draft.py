"""One turn of the controller: inputs go in; events (what changes) and actions (for after the commit) come out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from beowulf.controller.policy import Policy
from beowulf.controller.rented import CreateMachine, DestroyMachine, ForgetKey, ListMachines
from beowulf.controller.volatile import Volatile
from beowulf.model.apply import apply
from beowulf.model.event import Event
from beowulf.model.job import Attempt, Job, JobId, Tree, split_tag
from beowulf.model.node import LineSpeed, NodeId, NodeState
from beowulf.model.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Send:
    """A frame for a node's agent."""

    node: NodeId
    header: Mapping[str, Any]
    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class Stage:
    """Bring to ``node`` what the attempt needs and the node said it lacks."""

    node: NodeId
    tag: str


@dataclass(frozen=True, slots=True)
class StopStaging:
    """The attempt is being ended: what still travels for it may stop."""

    tag: str


@dataclass(frozen=True, slots=True)
class OpenWays:
    """Measure how ``far[0]`` reaches ``near`` through the head, and let all of ``far`` reach its ``port`` so."""

    tag: str
    near: NodeId
    port: int
    far: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class WaysOpened:
    """What came of an `OpenWays`: the loopback port of each far node, and the ``line`` from ``node``; or ``error``."""

    tag: str
    ports: Mapping[NodeId, int] = field(default_factory=dict)
    node: NodeId = ""
    line: LineSpeed | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class WayBroken:
    """Ranks of the attempt lost each other: a sentence says where."""

    tag: str
    why: str


@dataclass(frozen=True, slots=True)
class LetGo:
    """The attempt has ended: nothing more comes of it."""

    tag: str


@dataclass(frozen=True, slots=True)
class Collect:
    """Bring the attempt's outputs home from ``nodes``, the last one's files winning."""

    tag: str
    nodes: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class CollectCheckpoint:
    """Bring the newest checkpoint beyond ``newer_than`` steps home from ``nodes``; ``last``: the attempt is over."""

    tag: str
    nodes: tuple[NodeId, ...]
    newer_than: int
    last: bool


@dataclass(frozen=True, slots=True)
class DropCheckpoint:
    """The head need not keep this tree of the job's any more; "" for all of them."""

    job_id: JobId
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Checkpointed:
    """What came of a `CollectCheckpoint`; no ``tree``: nobody had a newer one, or ``error`` says why not."""

    tag: str
    last: bool
    node: NodeId = ""
    step: int = 0
    tree: Tree | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Expect:
    """Tell the controller when the head's log files of ``tag`` on ``node`` have reached these sizes."""

    node: NodeId
    tag: str
    sizes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Follow:
    """Ask ``node`` for the attempt's logs from where the head's files end; when ``again``, for its reports likewise."""

    node: NodeId
    tag: str
    again: bool = False


@dataclass(frozen=True, slots=True)
class Connect:
    node: NodeId
    boots: bool = False  # its door is not open yet, and is to be tried often


@dataclass(frozen=True, slots=True)
class Drop:
    node: NodeId


Action: TypeAlias = (
    Send
    | Stage
    | StopStaging
    | OpenWays
    | LetGo
    | Collect
    | CollectCheckpoint
    | DropCheckpoint
    | Expect
    | Follow
    | Connect
    | Drop
    | CreateMachine
    | DestroyMachine
    | ListMachines
    | ForgetKey
)


class Draft:
    """Events are applied as they are recorded, so that later inputs of the same turn see them; actions wait."""

    def __init__(self, snapshot: Snapshot, volatile: Volatile, policy: Policy, now: float) -> None:
        self.snapshot = snapshot
        self.volatile = volatile
        self.policy = policy
        self.now = now
        self.events: list[Event] = []
        self.actions: list[Action] = []

    def record(self, event: Event) -> None:
        self.snapshot = apply(self.snapshot, event)
        self.events.append(event)

    def do(self, action: Action) -> None:
        self.actions.append(action)

    def send(self, node: NodeId, kind: str, tag: str = "", **fields: Any) -> None:
        """Only to nodes that are linked: whatever a node missed is asked for again when it comes back."""
        if node in self.volatile.links:
            header = {"type": kind, **({"attempt": tag} if tag else {}), **fields}
            self.do(Send(node, header))

    def follow(self, node: NodeId, tag: str, *, again: bool = False) -> None:
        if node in self.volatile.links:
            self.do(Follow(node, tag, again))

    def current(self, tag: str) -> tuple[Job, Attempt] | None:
        """The job and attempt a tag names, if that is the job's newest attempt and it has not ended."""
        job_id, number = split_tag(tag)
        job = self.snapshot.jobs.get(job_id)
        attempt = job.attempt if job else None
        if job is None or attempt is None or attempt.number != number or attempt.ended_at:
            return None
        return job, attempt

    def gone(self, node_id: NodeId) -> bool:
        """A node that nobody will hear from soon: removed, or down for longer than a gang waits."""
        node = self.snapshot.nodes.get(node_id)
        if node is None:
            return True
        since = self.volatile.down_since.get(node_id)
        waited = since is not None and self.now - since >= self.policy.node_fail_after_s
        return node.state is NodeState.DOWN and waited
