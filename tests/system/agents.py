"""Simulated nodes: what an agent and its keepers do, in virtual time, and the line between them and the head.

A node keeps the promises of the wire (idempotent starts, tombstones, exit records until `forget`, leases). `Truth` is
what really happened on all of them: the invariants are judged by it, not by what the head believes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scene import Line

GPU_MIB = 24576
PACES = {"NVIDIA GeForce RTX 3090": 4.0, "Tesla P40": 1.0}  # steps per second of who has such a GPU; else 1
REPORT_S = 6.0
PHASES = {"setup": "prepared"}  # what the wire calls it


@dataclass(frozen=True)
class Devices:
    """What the ranks of one attempt use on one node. ``gpu_mib`` 0: the whole of each GPU."""

    cpus: frozenset[int]
    gpus: frozenset[int]
    gpu_mib: int


@dataclass
class Truth:
    running: dict[tuple[str, str], Devices] = field(default_factory=dict)  # (node, tag) → what its ranks use now
    ready: dict[str, set[str]] = field(default_factory=dict)  # tag → nodes that held its ranks ready, ever
    codes: dict[str, dict[tuple[str, str], int]] = field(default_factory=dict)  # tag → (node, process) → exit code
    saved: dict[str, int] = field(default_factory=dict)  # tag → the last step it made a checkpoint of
    brought: dict[str, set[str]] = field(default_factory=dict)  # tag → nodes whose outputs came home
    wrong: list[str] = field(default_factory=list)  # what was seen to go wrong as it happened


@dataclass
class Keeper:
    phase: str = "prepared"
    processes: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    ends: dict[str, float] = field(default_factory=dict)  # by process; the moment it ends
    codes: dict[str, int] = field(default_factory=dict)  # what it will end with
    exits: list[dict[str, Any]] = field(default_factory=list)
    ready_at: float = 0.0
    lease_until: float = 0.0
    from_step: int = 0
    began_at: float = 0.0
    trains: bool = False
    report_at: float = 0.0
    gang: int = 1
    hold: bool = False
    lines: int = 0
    reason: str = ""
    ran: bool = False

    @property
    def spool(self) -> dict[str, int]:
        return dict.fromkeys(self.processes, 100) if self.ran else {}


class Agent:
    """One node. ``moods``: how often ranks fail, how long they run, and the like (`history.Moods`)."""

    def __init__(self, name: str, chance: random.Random, truth: Truth, moods: Any, gpu: str) -> None:
        self.name, self.chance, self.truth, self.moods, self.gpu = name, chance, truth, moods, gpu
        self.now = 0.0
        self.boot = 1
        self.powered, self.linked, self.reachable = True, False, True
        self.over = False  # a rented machine that was given back
        self.generation = 0
        self.keepers: dict[str, Keeper] = {}
        self.tombstones: set[str] = set()
        self.up, self.down = Line(chance, moods.latest_s), Line(chance, moods.latest_s)
        self.answers: Callable[[Agent, str], dict[str, Any]] = lambda agent, topic: {}
        self.stay_up: Callable[[float], None] = lambda lease_s: None

    def say(self, kind: str, **fields: Any) -> None:
        if self.linked:
            self.up.put(self.now, {"type": kind, **fields})

    def cut(self) -> list[dict[str, Any]]:
        """The link is gone; → the messages that were on their way to the head."""
        lost = [header for _, header in self.up.travelling]
        self.linked = False
        for keeper in self.keepers.values():
            if keeper.phase == "cleared" and not keeper.processes:
                keeper.phase = (
                    "prepared"  # what was never started has no record of its end: the next link knows no more
                )
        self.up, self.down = Line(self.chance, self.moods.latest_s), Line(self.chance, self.moods.latest_s)
        return lost

    def welcome(self) -> dict[str, Any]:
        known = [self._known(tag, keeper) for tag, keeper in self.keepers.items()]
        return {"wire": 1, "root": f"/r/{self.name}", "boot_id": str(self.boot), "python": "3.9", "attempts": known}

    @staticmethod
    def _known(tag: str, keeper: Keeper) -> dict[str, Any]:
        record = {"exits": keeper.exits, "reason": keeper.reason} if keeper.phase == "cleared" else None
        phase = PHASES.get(keeper.phase, keeper.phase)
        return {"attempt": tag, "phase": phase, "spool": keeper.spool, "exit": record}

    def hear(self, header: Mapping[str, Any]) -> None:
        handler = getattr(self, f"on_{header['type']}", None)
        if handler is not None:
            handler(header, str(header.get("attempt", "")))

    def on_ask(self, header: Mapping[str, Any], tag: str) -> None:
        self.say("answers", id=header["id"], answers=self.answers(self, header["id"]), time=self.now)

    def on_stay_up(self, header: Mapping[str, Any], tag: str) -> None:
        self.stay_up(header["lease_s"])

    def on_prepare(self, header: Mapping[str, Any], tag: str) -> None:
        if tag in self.tombstones:
            self.say("missing", attempt=tag, trees=[], env=False, error="it was ended before")
            return
        if self.chance.random() < self.moods.missing:
            self.say("missing", attempt=tag, trees=[], env=True)
            return
        keeper = self.keepers.setdefault(tag, Keeper())
        steps = [int(tree["digest"].rpartition("@")[2]) for tree in header["trees"] if "@" in tree["digest"]]
        keeper.from_step = max(steps, default=0)
        self.say("prepared", attempt=tag, port=4000 if header["port"] else 0)

    def on_reach(self, header: Mapping[str, Any], tag: str) -> None:
        failed = []
        if self.chance.random() < self.moods.apart:
            failed = [{**header["targets"][0], "error": "no route"}]
        self.say("reached", attempt=tag, failed=failed)

    def on_start(self, header: Mapping[str, Any], tag: str) -> None:
        if tag in self.tombstones:
            self.say("start_failed", attempt=tag, error="it was ended before")
            return
        keeper = self.keepers.setdefault(tag, Keeper())
        if keeper.phase == "prepared":
            if self.chance.random() < self.moods.full:
                self.say("start_failed", attempt=tag, error="no space left on device")
                return
            keeper.processes = {process["id"]: process for process in header["processes"]}
            keeper.gang, keeper.trains = 1 + len(header["peers"]), "BEOWULF_CHECKPOINT" in header["env"]
            keeper.phase, keeper.hold = "setup", header["hold"]
            keeper.ready_at = self.now + self.chance.random() * 2 * bool(header["setup"])
            keeper.lease_until = self.now + header["lease_s"]
        self._tell(tag, keeper)
        self._look(tag, keeper)

    def _tell(self, tag: str, keeper: Keeper) -> None:
        if keeper.phase == "holding":
            self.say("ready", attempt=tag)
        elif keeper.phase == "running":
            self.say("running", attempt=tag, pids={})
        elif keeper.phase == "cleared":
            self._say_cleared(tag, keeper)

    def on_go(self, header: Mapping[str, Any], tag: str) -> None:
        keeper = self.keepers.get(tag)
        if keeper is not None and keeper.phase == "holding":
            self._run(tag, keeper)

    def _run(self, tag: str, keeper: Keeper) -> None:
        keeper.phase, keeper.began_at, keeper.ran = "running", self.now, True
        if len(self.truth.ready[tag]) < keeper.gang:
            self.truth.wrong.append(
                f"I3: {tag} runs on {self.name}, {len(self.truth.ready[tag])} of {keeper.gang} are ready"
            )
        for name in keeper.processes:
            keeper.ends[name] = self.now + self.chance.uniform(0.1, self.moods.longest_s) * (3 if keeper.trains else 1)
            keeper.codes[name] = self.chance.choice([1, 137]) if self.chance.random() < self.moods.failing else 0
        keeper.report_at = self.now + REPORT_S
        self.truth.running[self.name, tag] = devices_of(keeper)
        self.say("running", attempt=tag, pids={})

    def on_kill(self, header: Mapping[str, Any], tag: str) -> None:
        self.tombstones.add(tag)
        keeper = self.keepers.setdefault(tag, Keeper(phase="cleared"))
        if keeper.phase == "running":
            self._save(tag, keeper)
            self._end_all(keeper, self.chance.random() * header["grace_s"] / 5, "")
        elif keeper.phase != "cleared":
            keeper.phase = "cleared"
        if keeper.phase == "cleared":
            self._say_cleared(tag, keeper)

    def _end_all(self, keeper: Keeper, within_s: float, reason: str) -> None:
        keeper.reason = keeper.reason or reason
        for name in keeper.ends:
            if keeper.ends[name] > self.now + within_s:
                keeper.ends[name], keeper.codes[name] = self.now + within_s, 143

    def on_signal(self, header: Mapping[str, Any], tag: str) -> None:
        keeper = self.keepers.get(tag)
        if keeper is not None and keeper.phase == "running" and self.chance.random() < 0.9:
            self._save(tag, keeper)

    def _save(self, tag: str, keeper: Keeper) -> None:
        step = self._step(keeper)
        if step > self.truth.saved.get(tag, keeper.from_step):
            self.truth.saved[tag] = step
        self._report(tag, keeper, {"checkpoint": "ckpt", "step": step})

    def _step(self, keeper: Keeper) -> int:
        return keeper.from_step + int((self.now - keeper.began_at) * PACES.get(self.gpu, 1.0))

    def _report(self, tag: str, keeper: Keeper, line: dict[str, Any]) -> None:
        keeper.lines += 1
        self.say("report", attempt=tag, rank=0, process="0", offset=keeper.lines, ends=[keeper.lines], lines=[line])

    def _train(self, tag: str, keeper: Keeper) -> None:
        """Now and then a rank says how far it is, and makes a checkpoint unasked."""
        if not keeper.trains or self.now < keeper.report_at:
            return
        keeper.report_at = self.now + REPORT_S
        if self.chance.random() < 0.4:
            self._save(tag, keeper)
        elif "0" in keeper.processes:
            self._report(tag, keeper, {"step": self._step(keeper)})

    def on_renew(self, header: Mapping[str, Any], tag: str) -> None:
        for name, lease_s in header["leases"].items():
            if name in self.keepers:
                self.keepers[name].lease_until = self.now + lease_s

    def on_forget(self, header: Mapping[str, Any], tag: str) -> None:
        self.tombstones.add(tag)
        keeper = self.keepers.get(tag)
        if keeper is not None and keeper.phase == "running":
            self.truth.wrong.append(f"I6: {self.name} is to forget {tag}, whose ranks run")
        self.keepers.pop(tag, None)

    def tick(self, now: float) -> None:
        self.now = now
        for tag, keeper in list(self.keepers.items()) if self.powered else ():
            self._look(tag, keeper)

    def _look(self, tag: str, keeper: Keeper) -> None:
        if keeper.phase == "setup" and self.now >= keeper.ready_at:
            self.truth.ready.setdefault(tag, set()).add(self.name)
            if keeper.hold:
                keeper.phase = "holding"
                self._tell(tag, keeper)
            else:
                self._run(tag, keeper)
        if keeper.phase in ("running", "holding", "setup") and self.now >= keeper.lease_until:
            self._end_all(keeper, 0.0, "its lease ran out")
            if keeper.phase != "running":
                keeper.phase, keeper.reason = "cleared", "its lease ran out"
                self._say_cleared(tag, keeper)
        if keeper.phase == "running":
            self._train(tag, keeper)
            self._reap(tag, keeper)

    def _reap(self, tag: str, keeper: Keeper) -> None:
        for name in [name for name, at in keeper.ends.items() if self.now >= at]:
            code = keeper.codes[name]
            del keeper.ends[name]
            keeper.exits.append({"process": name, "code": code, "signal": 9 if code == 137 else 0})
            self.truth.codes.setdefault(tag, {})[self.name, name] = code
            self.say("exited", attempt=tag, error="", **keeper.exits[-1])
            if code:
                self._end_all(keeper, 0.5, "")
        if not keeper.ends:
            keeper.phase = "cleared"
            self.truth.running.pop((self.name, tag), None)
            self._say_cleared(tag, keeper)

    def _say_cleared(self, tag: str, keeper: Keeper) -> None:
        record = {"exits": keeper.exits, "killed": 0, "unkillable": [], "reason": keeper.reason}
        self.say("cleared", attempt=tag, spool=keeper.spool, **record)

    def heal(self) -> None:
        self.powered = self.reachable = not self.over

    def die(self, disk: bool) -> None:
        """Power is lost: no process survives; with ``disk`` what was written does."""
        self.powered = False
        self.boot += 1
        for tag, keeper in list(self.keepers.items()):
            self.truth.running.pop((self.name, tag), None)
            if not disk:
                del self.keepers[tag]
            elif keeper.phase not in ("prepared", "cleared"):
                keeper.phase, keeper.reason = "cleared", "the node was restarted"
        if not disk:
            self.tombstones.clear()


def devices_of(keeper: Keeper) -> Devices:
    """As the frame said it to the ranks, whatever the head believes to have given."""
    cpus, gpus, mib = set(), set(), 0
    for process in keeper.processes.values():
        cpus |= set(process["cpus"])
        visible = process["env"].get("CUDA_VISIBLE_DEVICES", "")
        gpus |= {int(index) for index in visible.split(",") if index}
        mib += int(process["env"].get("BEOWULF_GPU_MEMORY_MIB", 0))
    return Devices(frozenset(cpus), frozenset(gpus), mib)
