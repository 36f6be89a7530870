"""What only this controller's lifetime knows: a restart forgets it, and asks again."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from beowulf.controller.rented import Rented, later
from beowulf.model.node import NodeId
from beowulf.probe import Seen
from beowulf.scheduler import Memo


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

    def move(self, by_s: float) -> None:
        self.made_at, self.began_at, self.next_at = self.made_at + by_s, self.began_at + by_s, self.next_at + by_s


@dataclass(slots=True)
class Pacing:
    """From which step and moment on an attempt's steps are counted, and when they are looked at next."""

    step: int
    since: float
    again_at: float

    def move(self, by_s: float) -> None:
        self.since, self.again_at = self.since + by_s, self.again_at + by_s


@dataclass(slots=True)
class Resizing:
    """An attempt is to be placed anew: nodes it does not have yet are staged to, and then it makes a checkpoint."""

    since: float  # when it was asked for one
    staging: set[NodeId]

    def move(self, by_s: float) -> None:
        self.since += by_s


@dataclass(slots=True)
class Late:
    """Outputs that could not be brought home yet. ``lost``: what has to be done without, and why."""

    since: float
    tries: int = 0
    again_at: float = 0.0
    why: str = ""
    lost: str = ""

    def move(self, by_s: float) -> None:
        self.since, self.again_at = self.since + by_s, self.again_at + by_s


@dataclass(slots=True)
class Volatile:
    """What only this controller's lifetime knows: links, and steps between two commits."""

    links: set[NodeId] = field(default_factory=set)
    down_since: dict[NodeId, float] = field(default_factory=dict)
    gatherings: dict[str, Gathering] = field(default_factory=dict)
    failures: dict[NodeId, deque[float]] = field(default_factory=dict)
    logs_due: dict[str, dict[NodeId, float]] = field(default_factory=dict)  # tag → node → since
    logs_held: dict[tuple[str, NodeId], float] = field(default_factory=dict)  # which the head could not write → since
    collecting: set[str] = field(default_factory=set)
    collected: dict[str, str] = field(default_factory=dict)  # tag → "" or what went wrong
    late: dict[str, Late] = field(default_factory=dict)  # by tag
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

    def checkpointing(self, tag: str) -> Checkpointing:
        return self.checkpoints.setdefault(tag, Checkpointing())

    def move(self, by_s: float) -> None:
        """The head's clock was set."""
        for by_key in (self.down_since, self.logs_held, self.deaf, self.renewed, self.asked, self.looked):
            later(by_key, by_s)
        for due in self.logs_due.values():
            later(due, by_s)
        for node, times in self.failures.items():
            self.failures[node] = deque((at + by_s for at in times), maxlen=times.maxlen)
        for values in (self.late, self.checkpoints, self.pacing, self.resizing):
            for value in values.values():
                value.move(by_s)
        self.resize_looked += by_s
        self.memo = None
        self.rented.move(by_s)

    def forget_node(self, node: NodeId) -> None:
        """It was removed: rented machines come and go for years, each with a name of its own."""
        self.links.discard(node)
        by_node: tuple[dict[NodeId, Any], ...] = (
            self.down_since,
            self.failures,
            self.pythons,
            self.renewed,
            self.asked,
            self.looked,
            self.seen,
        )
        for known in by_node:
            known.pop(node, None)

    def forget(self, tag: str) -> None:
        self.gatherings.pop(tag, None)
        self.logs_due.pop(tag, None)
        self.collecting.discard(tag)
        self.collected.pop(tag, None)
        self.late.pop(tag, None)
        self.checkpoints.pop(tag, None)
        self.pacing.pop(tag, None)
        self.resizing.pop(tag, None)
        self.deaf.pop(tag, None)
