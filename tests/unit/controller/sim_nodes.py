"""Simulated nodes for the real controller, scheduler, launch and store: what an agent answers, in virtual time.

A node here keeps the promises of the wire (idempotent starts, tombstones, exit records until `forget`), and the world
breaks everything else: links drop, nodes lose power, the head is replaced, ranks fail.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from beowulf.controller import commands as co
from beowulf.controller.draft import (
    Action,
    Checkpointed,
    Collect,
    CollectCheckpoint,
    Connect,
    Expect,
    Follow,
    Send,
    Stage,
)
from beowulf.controller.inputs import Collected, LogsComplete, Staged
from beowulf.controller.loop import Ask, Controller, Input
from beowulf.controller.policy import Policy
from beowulf.controller.watch import Watch
from beowulf.model.job import JobSpec, Tree
from beowulf.model.node import Endpoint
from beowulf.model.snapshot import Snapshot
from beowulf.store import Store, StoreError
from beowulf.transport import LinkDown, LinkUp, ProblemKind, Received

# Two threads and a gigabyte, as a node would say it.
ANSWERS = {
    "status": {"code": 0, "out": "Cpus_allowed_list:\t0-1\n", "err": "", "timed_out": False},
    "memory": {"code": 0, "out": "MemTotal: 1024000 kB\nMemAvailable: 900000 kB\n", "err": "", "timed_out": False},
}

ME = co.Caller("me", 1000, True)


@dataclass
class Keeper:
    phase: str
    processes: list[str] = field(default_factory=list)
    exits: list[dict[str, Any]] = field(default_factory=list)
    ends_at: float = 0.0
    code: int = 0
    killed: bool = False
    ran: bool = False  # so that there is a log
    from_step: int = 0  # of the checkpoint that was put there
    began_at: float = 0.0
    saved_step: int = 0  # of the newest checkpoint it made; one step is a second
    reported: int = 0

    @property
    def spool(self) -> dict[str, int]:
        return {"0": 100} if self.ran else {}

    def save(self, now: float) -> None:
        self.saved_step = self.from_step + int(now - self.began_at)


class SimNode:
    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self.world = world
        self.boot = 1
        self.processes = ""
        self.linked = False
        self.powered = True
        self.keepers: dict[str, Keeper] = {}
        self.tombstones: set[str] = set()
        self.staged: set[str] = set()
        self.generation = 0
        self.renewed: dict[str, float] = {}

    def say(self, kind: str, **fields: Any) -> None:
        if self.linked:
            self.world.inbox.append(Received(self.name, self.generation, {"type": kind, **fields}, b""))

    def hear(self, header: Mapping[str, Any]) -> None:
        handler = getattr(self, f"on_{header['type']}", None)
        if self.linked and handler is not None:
            handler(header)

    def on_ask(self, header: Mapping[str, Any]) -> None:
        self.say("answers", id=header["id"], answers=ANSWERS, time=self.world.now)

    def on_prepare(self, header: Mapping[str, Any]) -> None:
        tag = header["attempt"]
        if tag not in self.staged and self.world.random.random() < self.world.missing_rate:
            self.staged.add(tag)
            self.say("missing", attempt=tag, trees=[], env=True)
            return
        keeper = self.keepers.setdefault(tag, Keeper("prepared"))
        kept = [tree["digest"] for tree in header["trees"] if tree["digest"].startswith("step-")]
        keeper.from_step = keeper.saved_step = int(kept[0][5:]) if kept else 0
        self.say("prepared", attempt=tag, port=4000 if header["port"] else 0)

    def on_reach(self, header: Mapping[str, Any]) -> None:
        self.say("reached", attempt=header["attempt"], failed=[])

    def on_start(self, header: Mapping[str, Any]) -> None:
        tag = header["attempt"]
        if tag in self.tombstones:
            self.say("start_failed", attempt=tag, error="it was ended before")
            return
        keeper = self.keepers.setdefault(tag, Keeper("prepared"))
        if keeper.phase == "prepared":
            keeper.processes = [process["id"] for process in header["processes"]]
            keeper.phase = "holding"
            if not header["hold"]:
                self.run(tag, keeper)
        if keeper.phase == "holding":
            self.say("ready", attempt=tag)
        else:
            self.say("running", attempt=tag, pids={})

    def on_go(self, header: Mapping[str, Any]) -> None:
        keeper = self.keepers.get(header["attempt"])
        if keeper is not None and keeper.phase == "holding":
            self.run(header["attempt"], keeper)
            self.say("running", attempt=header["attempt"], pids={})

    def run(self, tag: str, keeper: Keeper) -> None:
        keeper.phase = "running"
        keeper.ran = True
        keeper.began_at = self.world.now
        keeper.ends_at = self.world.now + self.world.random.uniform(0.1, self.world.longest_s)
        keeper.code = int(self.world.random.random() < self.world.failure_rate)
        self.world.started(self.name, tag)

    def on_kill(self, header: Mapping[str, Any]) -> None:
        tag = header["attempt"]
        self.tombstones.add(tag)
        keeper = self.keepers.setdefault(tag, Keeper("prepared"))
        keeper.killed = True
        if keeper.phase == "running":
            keeper.save(self.world.now)
            keeper.ends_at = min(keeper.ends_at, self.world.now + self.world.random.uniform(0, 2))
        elif keeper.phase in ("prepared", "holding"):
            keeper.phase = "cleared"
        if keeper.phase == "cleared":
            self.say_cleared(tag, keeper)

    def on_signal(self, header: Mapping[str, Any]) -> None:
        tag = header["attempt"]
        keeper = self.keepers.get(tag)
        if keeper is not None and keeper.phase == "running" and self.world.makes_checkpoints:
            keeper.save(self.world.now)
            keeper.reported += 1
            line = {"checkpoint": "ckpt", "step": keeper.saved_step}
            self.say("report", attempt=tag, rank=0, ends=[keeper.reported], lines=[line])

    def say_cleared(self, tag: str, keeper: Keeper) -> None:
        self.say("cleared", attempt=tag, exits=keeper.exits, killed=0, unkillable=[], reason="", spool=keeper.spool)

    def on_renew(self, header: Mapping[str, Any]) -> None:
        self.renewed.update(header["leases"])

    def on_forget(self, header: Mapping[str, Any]) -> None:
        tag = header["attempt"]
        keeper = self.keepers.pop(tag, None)
        if keeper is not None and keeper.ran and (tag, self.name) not in self.world.safe:
            self.world.lost_logs.append((tag, self.name))
        self.tombstones.add(tag)

    def tick(self) -> None:
        for tag, keeper in self.keepers.items():
            if self.powered and keeper.phase == "running" and self.world.now >= keeper.ends_at:
                code = 143 if keeper.killed else keeper.code
                keeper.exits = [{"process": name, "code": code, "signal": 0} for name in keeper.processes]
                keeper.phase = "cleared"
                self.world.ended(self.name, tag)
                for done in keeper.exits:
                    self.say("exited", attempt=tag, error="", **done)
                self.say_cleared(tag, keeper)

    def welcome(self) -> dict[str, Any]:
        attempts = [
            {
                "attempt": tag,
                "phase": k.phase,
                "spool": k.spool,
                "exit": {"exits": k.exits} if k.phase == "cleared" else None,
            }
            for tag, k in self.keepers.items()
        ]
        told = {"boot_id": str(self.boot), "processes": self.processes, "python": "3.9"}
        return {"wire": 1, "root": f"/r/{self.name}", **told, "attempts": attempts}

    def lose_power(self) -> None:
        for tag, keeper in self.keepers.items():
            if keeper.phase == "running":
                self.world.ended(self.name, tag)
        self.keepers.clear()  # worse than real: not even the spool survives
        self.powered = False
        self.boot += 1


class World:
    """The head and its nodes. ``step`` moves time; faults are the test's to choose."""

    def __init__(
        self, folder: Path, names: Sequence[str], seed: int, failure_rate: float = 0.0, policy: Policy | None = None
    ) -> None:
        self.policy = policy or Policy()
        self.random = random.Random(seed)
        self.failure_rate = failure_rate
        self.missing_rate = 0.0
        self.longest_s = 20.0
        self.makes_checkpoints = True
        self.now = 1000.0
        self.clock_off_s = 0.0  # the head's clock less the true time
        self.boot = "first"  # of the head's machine
        self.inbox: list[Input] = []
        self.url = f"sqlite:///{folder}/beowulf.db"
        self.running: dict[str, set[str]] = {}  # tag → nodes where its ranks run
        self.nodes = {name: SimNode(name, self) for name in names}
        self.controller: Controller | None = None
        self.store: Store | None = None
        self.following: set[tuple[str, str]] = set()  # (tag, node) whose logs this head has asked for
        self.expected: set[tuple[str, str]] = set()
        self.safe: set[tuple[str, str]] = set()  # whose logs the head's files hold whole
        self.lost_logs: list[tuple[str, str]] = []
        self.staged: list[tuple[str, str]] = []
        self.staging_errors: dict[str, str] = {}  # by node
        self.staging_breaks = False  # whether that was the line
        self.surveys = 0  # for checkpoints
        self.survey_errors: list[str] = []  # how they go, one after the other; then well

    def head_up(self) -> None:
        self.store = Store.open(self.url, now=self.wall(), cluster="sim")
        watch = Watch(self.wall, lambda: self.now, self.boot, self.store.clock)
        self.controller = Controller(self.store, self.policy, watch=watch)
        self.inbox = []
        self.controller.begin(self)
        for name in self.nodes:
            if name not in self.snapshot.nodes:
                command = co.AddNode(ME, name, Endpoint(name), "ssh-ed25519 AAAA")
                assert self.ask(command).result() == name

    def wall(self) -> float:
        return self.now + self.clock_off_s

    def head_killed(self) -> None:
        """SIGKILL: nothing is said to anybody, what was not committed is gone."""
        assert self.store is not None
        self.store.close()
        self.controller = None
        self.following, self.expected = set(), set()
        for node in self.nodes.values():
            node.linked = False

    @property
    def snapshot(self) -> Snapshot:
        assert self.controller is not None
        return self.controller.snapshot

    def ask(self, command: co.Command) -> Future[Any]:
        assert self.controller is not None
        reply: Future[Any] = Future()
        self.controller.turn([Ask(command, reply)])
        return reply

    def submit(self, spec: JobSpec, array: tuple[int, ...] = (), key: str = "") -> str:
        answer: str = self.ask(co.Submit(ME, spec, array, key, "digest")).result()
        return answer

    def perform(self, actions: Sequence[Action], snapshot: Snapshot) -> None:
        for action in actions:
            match action:
                case Send():
                    self.nodes[action.node].hear(action.header)
                case Connect():
                    self.nodes[action.node].generation = snapshot.nodes[action.node].generation
                case Stage():
                    self.staged.append((action.node, action.tag))
                    error = self.staging_errors.get(action.node, "")
                    self.inbox.append(Staged(action.node, action.tag, error, bool(error) and self.staging_breaks))
                case Collect():
                    self.inbox.append(Collected(action.tag))
                case CollectCheckpoint():
                    self.inbox.append(self.newest(action))
                case Follow():
                    self.following.add((action.tag, action.node))
                case Expect():
                    self.expected.add((action.tag, action.node))
                case _:
                    pass

    def newest(self, action: CollectCheckpoint) -> Checkpointed:
        """What the head's hands would bring: the newest of those nodes that still have it."""
        self.surveys += 1
        if self.survey_errors:
            return Checkpointed(action.tag, action.last, error=self.survey_errors.pop(0))
        saved = {
            node: self.nodes[node].keepers[action.tag].saved_step
            for node in action.nodes
            if self.nodes[node].powered and action.tag in self.nodes[node].keepers
        }
        node = max(saved, key=lambda node: saved[node], default="")
        if not node or saved[node] <= max(action.newer_than, 0):
            return Checkpointed(action.tag, action.last)
        step = saved[node]
        return Checkpointed(action.tag, action.last, node, step, Tree(f"step-{step}", 10, 1, node))

    def step(self, seconds: float) -> None:
        self.now += seconds
        for node in self.nodes.values():
            node.tick()
            self.copy_logs(node)
            if self.controller and node.powered and not node.linked and node.generation:
                self.link(node)
        while self.controller:
            batch, self.inbox = self.inbox, []
            try:
                self.controller.turn(batch)
            except StoreError:
                self.inbox = batch + self.inbox
                break
            if not self.inbox:
                break

    def copy_logs(self, node: SimNode) -> None:
        """Logs take their time, and come only from nodes that were asked for them over this link."""
        for tag, keeper in node.keepers.items():
            place = (tag, node.name)
            if node.linked and keeper.phase == "cleared" and place in self.following and self.random.random() < 0.5:
                self.safe.add(place)
        for place in sorted(self.expected & self.safe):
            self.expected.discard(place)
            self.inbox.append(LogsComplete(*place))

    def link(self, node: SimNode) -> None:
        node.linked = True
        self.inbox.append(LinkUp(node.name, node.generation, node.welcome()))

    def unlink(self, name: str) -> None:
        node = self.nodes[name]
        if node.linked:
            node.linked = False
            self.following = {place for place in self.following if place[1] != name}
            self.inbox = [i for i in self.inbox if getattr(i, "node", None) != name]
            self.inbox.append(LinkDown(name, node.generation, "the link was lost", ProblemKind.LOST))

    def power_off(self, name: str) -> None:
        self.nodes[name].lose_power()
        self.unlink(name)

    def started(self, node: str, tag: str) -> None:
        """Called by a node when ranks really start: this is where two attempts or two jobs would meet."""
        self.running.setdefault(tag, set()).add(node)

    def ended(self, node: str, tag: str) -> None:
        self.running.get(tag, set()).discard(node)
