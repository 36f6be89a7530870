"""One turn of the controller: inputs go in; events (what changes) and actions (for after the commit) come out."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from beowulf.controller.bringing import Bringing
from beowulf.controller.policy import Policy
from beowulf.controller.rented import CreateMachine, DestroyMachine, ForgetKey, ListMachines, Rented
from beowulf.model.apply import apply
from beowulf.model.event import Event
from beowulf.model.job import Attempt, Job, JobId, Tree, split_tag
from beowulf.model.node import LineSpeed, NodeId, NodeState
from beowulf.model.snapshot import Snapshot
from beowulf.probe import Seen
from beowulf.scheduler import Memo


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


@dataclass(slots=True)
class Gathering:
    """How far an attempt's nodes are on the way to its launch. A restart forgets it and asks for every step again."""

    prepared: dict[NodeId, int] = field(default_factory=dict)  # node → port it listens on
    reached: set[NodeId] = field(default_factory=set)
    ready: set[NodeId] = field(default_factory=set)
    staging: set[NodeId] = field(default_factory=set)
    staged: set[NodeId] = field(default_factory=set)
    passages: Mapping[NodeId, int] = field(default_factory=dict)  # of a gang over several sites


@dataclass(slots=True)
class Checkpointing:
    """How far an attempt's checkpoints are on their way home."""

    made_on: NodeId = ""  # has one that was not asked for yet
    made_at: float = 0.0  # when a rank last told of one
    going: bool = False
    began_at: float = 0.0
    next_at: float = 0.0
    last_is_in: bool = False  # the attempt is over, and what it left was looked for
    tries: int = 0  # of that which went wrong


@dataclass(slots=True)
class Pacing:
    """From which step and moment on an attempt's steps are counted, and when they are looked at next."""

    step: int
    since: float
    again_at: float


@dataclass(slots=True)
class Resizing:
    """An attempt is to be placed anew: nodes it does not have yet are staged to, and then it makes a checkpoint."""

    since: float  # when it was asked for one
    staging: set[NodeId]


@dataclass(slots=True)
class Volatile:
    """What only this controller's lifetime knows: links, and steps between two commits."""

    links: set[NodeId] = field(default_factory=set)
    down_since: dict[NodeId, float] = field(default_factory=dict)
    gatherings: dict[str, Gathering] = field(default_factory=dict)
    failures: dict[NodeId, deque[float]] = field(default_factory=dict)
    logs_due: dict[str, dict[NodeId, float]] = field(default_factory=dict)  # tag → node → since
    outputs: dict[str, Bringing] = field(default_factory=dict)
    checkpoints: dict[str, Checkpointing] = field(default_factory=dict)
    pacing: dict[str, Pacing] = field(default_factory=dict)
    resizing: dict[str, Resizing] = field(default_factory=dict)
    resize_looked: float = 0.0
    memo: Memo | None = None  # what the last plan left for the next
    deaf: dict[str, float] = field(default_factory=dict)  # attempts that made no checkpoint when asked → when
    pythons: dict[NodeId, str] = field(default_factory=dict)  # what the agent runs with
    renewed: dict[NodeId, float] = field(default_factory=dict)  # when the leases of its ranks were last renewed
    asked: dict[NodeId, float] = field(default_factory=dict)  # when the node's facts were last asked for
    looked: dict[NodeId, float] = field(default_factory=dict)  # when it was last asked who else works there
    seen: dict[NodeId, Seen] = field(default_factory=dict)  # what it said
    rented: Rented = field(default_factory=Rented)

    def gathering(self, tag: str) -> Gathering:
        return self.gatherings.setdefault(tag, Gathering())

    def bringing(self, tag: str) -> Bringing:
        return self.outputs.setdefault(tag, Bringing())

    def checkpointing(self, tag: str) -> Checkpointing:
        return self.checkpoints.setdefault(tag, Checkpointing())

    def forget(self, tag: str) -> None:
        self.gatherings.pop(tag, None)
        self.logs_due.pop(tag, None)
        self.outputs.pop(tag, None)
        self.checkpoints.pop(tag, None)
        self.pacing.pop(tag, None)
        self.resizing.pop(tag, None)
        self.deaf.pop(tag, None)


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
