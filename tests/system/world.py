"""The head and its nodes in virtual time: the real controller, scheduler, launch and store; agents, lines, clock,
clients and the head's own workers are simulated. Faults are `history`'s to choose; `invariants` looks on.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from agents import GPU_MIB, PACES, Agent, Truth
from scene import Desk, Doom, FlakyStore, Killed, Moods, Wish
from sqlalchemy import event as sql_event

from beowulf.controller import commands as co
from beowulf.controller import draft as act
from beowulf.controller.inputs import Collected, LogsComplete, Staged
from beowulf.controller.loop import Ask, Controller
from beowulf.controller.policy import Policy
from beowulf.controller.watch import Watch
from beowulf.model.errors import BeowulfError
from beowulf.model.job import Tree
from beowulf.model.node import Endpoint
from beowulf.model.rules import Rules, ServiceClass
from beowulf.model.snapshot import Snapshot
from beowulf.store import Store, StoreError
from beowulf.transport import LinkDown, LinkUp, ProblemKind, Received

ADMIN = co.Caller("root", 0, True)
GPUS = tuple(PACES)
TOLD = {"mover": {("RTX3090", 1): 4.0, ("P40", 1): 1.0}}
CLASSES = {"urgent": ServiceClass(1.0, ("idle",)), "idle": ServiceClass(0.0, grace_s=3.0)}


class World:
    def __init__(self, folder: Path, names: Sequence[str], seed: int, moods: Moods | None = None) -> None:
        self.chance = random.Random(seed)
        self.moods = moods or Moods()
        self.policy = Policy(
            cluster="sim",
            lease_s=200.0,
            resize_every_s=20.0,
            lost_after_s=25.0,
            checkpoint_every_s=5.0,
            rules=Rules(classes=CLASSES, told=TOLD),
        )
        self.now = 1_000_000.0
        self.clock_off_s = 0.0
        self.database = folder / "beowulf.db"
        self.truth = Truth()
        self.agents: dict[str, Agent] = {}
        self.wishes: list[Wish] = []
        self.desk = Desk()
        self.doom = Doom()
        self.disk_full = False
        self.inbox: list[Any] = []
        self.controller: Controller | None = None
        self.store: Store | None = None
        for name in names:
            self.machine(name)

    def machine(self, name: str) -> Agent:
        """A further machine; it is no node before `add`."""
        number = len(self.agents)
        agent = Agent(name, self.chance, self.truth, self.moods, GPUS[number // 2 % 2] if number % 2 else "")
        agent.answers = self.answers
        self.agents[name] = agent
        return agent

    @staticmethod
    def answers(agent: Agent, topic: str) -> dict[str, Any]:
        card = f"== query\n0, {agent.gpu}, {GPU_MIB}, GPU-{agent.name}, 535.1, 8.6, [N/A]\n"
        said = {"status": "Cpus_allowed_list:\t0-2\n", "memory": "MemTotal: 2048000 kB\n"}
        said |= {"nvidia": card} if agent.gpu else {}
        return {name: {"code": 0, "out": out, "err": "", "timed_out": False} for name, out in said.items()}

    @property
    def snapshot(self) -> Snapshot:
        assert self.controller is not None
        return self.controller.snapshot

    def die_at(self, point: str) -> None:
        if self.doom.point == point:
            raise Killed

    def head_up(self) -> None:
        self.store = Store.open(f"sqlite:///{self.database}", now=self.now, cluster="sim")

        @sql_event.listens_for(self.store.engine, "connect")
        def fast(connection: Any, _: Any) -> None:
            connection.execute("PRAGMA synchronous=OFF")  # processes die here, power does not fail

        flaky: Any = FlakyStore(self.store, self)
        self.inbox = []
        try:
            watch = Watch(lambda: self.now + self.clock_off_s, lambda: self.now, "boot", self.store.clock)
            self.controller = Controller(flaky, self.policy, mint=self.mint, watch=watch)
            self.controller._volatile.rented.chance = self.chance
            self.controller.begin(self)
        except (Killed, StoreError):
            self.head_killed()

    mint: Any = None

    def head_killed(self) -> None:
        """Nothing is said to anybody; what was not committed, performed or answered is gone."""
        assert self.store is not None
        self.store.close()
        self.controller, self.doom = None, Doom()
        self.desk.following, self.desk.expected, self.desk.results = set(), {}, []
        for agent in self.agents.values():
            agent.cut()

    def turn(self, batch: list[Any]) -> None:
        assert self.controller is not None
        try:
            self.controller.turn(batch)
        except Killed:
            self.head_killed()
        except StoreError as error:
            self.inbox = Controller._refuse(batch, error) + self.inbox

    def ask(self, command: co.Command) -> Any:
        """The answer, an error of the tree, or None where nobody answered."""
        reply: Future[Any] = Future()
        if self.controller is None:
            return None
        self.turn([Ask(command, reply)])
        if not reply.done():
            return None
        failure = reply.exception()
        assert failure is None or isinstance(failure, BeowulfError), failure
        return failure or reply.result()

    def add(self, name: str) -> Any:
        mixed = len(self.agents) % 4 == 0
        return self.ask(
            co.AddNode(ADMIN, name, Endpoint(name), "ssh-ed25519 AAAA", share_gpus=3, share_between_users=mixed)
        )

    def submit(self, wish: Wish) -> None:
        caller = co.Caller(wish.owner, 1000, False)
        answer = self.ask(co.Submit(caller, wish.spec, wish.array, wish.key, wish.key))
        if isinstance(answer, str):
            wish.job = answer

    def perform(self, actions: Sequence[act.Action], snapshot: Snapshot) -> None:
        for action in actions:
            if self.doom.point == "action" and self.doom.actions <= 0:
                raise Killed
            self.doom.actions -= 1
            handler = getattr(self, f"_{type(action).__name__.lower()}", None)
            if handler is not None:
                handler(action, snapshot)
        self.die_at("answer")

    def _send(self, action: act.Send, snapshot: Snapshot) -> None:
        agent = self.agents.get(action.node)
        if agent is not None and agent.linked:
            agent.down.put(self.now, action.header)

    def _connect(self, action: act.Connect, snapshot: Snapshot) -> None:
        self.agents[action.node].generation = snapshot.nodes[action.node].generation

    def _drop(self, action: act.Drop, snapshot: Snapshot) -> None:
        self.agents[action.node].generation = 0
        self.agents[action.node].cut()

    def _stage(self, action: act.Stage, snapshot: Snapshot) -> None:
        job = snapshot.jobs[action.tag.rpartition(".")[0]]
        if job.checkpoint is not None and (job.id, job.checkpoint.tree.digest) not in self.desk.checkpoints:
            self.truth.wrong.append(f"I1: the checkpoint of job {job.id} was dropped")
        error = "broken pipe" if self.chance.random() < 0.05 else ""
        self._later(Staged(action.node, action.tag, error, passing=bool(error)))

    def _collect(self, action: act.Collect, snapshot: Snapshot) -> None:
        broken = self.chance.random() < 0.05
        if not broken:
            self.truth.brought.setdefault(action.tag, set()).update(action.nodes)
        self._later(Collected(action.tag, "the line broke" if broken else "", broken))

    def _collectcheckpoint(self, action: act.CollectCheckpoint, snapshot: Snapshot) -> None:
        """The newest of those nodes that still have it, when it was asked for."""
        there = [n for n in action.nodes if self.agents[n].powered and action.tag in self.agents[n].keepers]
        step = self.truth.saved.get(action.tag, 0)
        if not there or step <= max(action.newer_than, 0) or self.chance.random() < 0.1:
            self._later(act.Checkpointed(action.tag, action.last))
            return
        tree = Tree(f"{action.tag}@{step}", 10, 1, there[0])
        self.desk.checkpoints.add((action.tag.rpartition(".")[0], tree.digest))
        self._later(act.Checkpointed(action.tag, action.last, there[0], step, tree))

    def _dropcheckpoint(self, action: act.DropCheckpoint, snapshot: Snapshot) -> None:
        gone = {(job, digest) for job, digest in self.desk.checkpoints if job == action.job_id}
        self.desk.checkpoints -= {one for one in gone if action.digest in ("", one[1])}

    def _follow(self, action: act.Follow, snapshot: Snapshot) -> None:
        self.desk.following.add((action.tag, action.node))

    def _expect(self, action: act.Expect, snapshot: Snapshot) -> None:
        self.desk.expected[action.tag, action.node] = self.now + self.chance.random()

    def _later(self, result: Any) -> None:
        self.desk.results.append((self.now + self.chance.random() * 2, result))

    def step(self, seconds: float) -> None:
        """Time passes; the controller turns until nothing more is said at once."""
        self.now += seconds
        for _ in range(40):
            for agent in self.agents.values():
                agent.tick(self.now)
                self._carry(agent)
            self._work()
            if self.controller is None:
                return
            batch, self.inbox = self.inbox, []
            self.turn(batch)
            if self.disk_full or not (self.inbox or self._moving()):
                return

    def _moving(self) -> bool:
        return any(
            line.travelling and line.travelling[0][0] <= self.now
            for agent in self.agents.values()
            for line in (agent.up, agent.down)
        )

    def _carry(self, agent: Agent) -> None:
        if self.controller and agent.powered and agent.reachable and not agent.linked and agent.generation:
            agent.linked = True
            self.inbox.append(LinkUp(agent.name, agent.generation, agent.welcome()))
        for header in agent.down.arrived(self.now):
            agent.hear(header)
        for header in agent.up.arrived(self.now):
            self.inbox.append(Received(agent.name, agent.generation, header, b""))

    def _work(self) -> None:
        """What the head's own threads have done by now."""
        self.inbox += [result for due, result in self.desk.results if due <= self.now]
        self.desk.results = [one for one in self.desk.results if one[0] > self.now]
        for (tag, node), due in list(self.desk.expected.items()):
            agent = self.agents[node]
            if due <= self.now and agent.linked and (tag, node) in self.desk.following and tag in agent.keepers:
                del self.desk.expected[tag, node]
                self.inbox.append(LogsComplete(tag, node))

    def cut(self, name: str, reachable: bool = True) -> None:
        """The link breaks. Some of what travelled may still be read from the socket after the news."""
        agent = self.agents[name]
        agent.reachable = reachable
        if not agent.linked:
            return
        lost = agent.cut()
        self.desk.following = {place for place in self.desk.following if place[1] != name}
        self.inbox.append(LinkDown(name, agent.generation, "the link was lost", ProblemKind.LOST))
        late = [header for header in lost if self.chance.random() < self.moods.late_after_all]
        self.chance.shuffle(late)
        self.inbox += [Received(name, agent.generation, header, b"") for header in late]

    def power_off(self, name: str, disk: bool) -> None:
        self.agents[name].die(disk)
        self.cut(name)

    def live(self) -> Mapping[str, Any]:
        return {job.id: job for job in self.snapshot.jobs.values() if job.live}
