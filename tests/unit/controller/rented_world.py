"""The real controller, planner and collector over a simulated cloud and simulated nodes, with crashes where they hurt.

What is wished for is decided here, simply: a job that waits gets as many machines as it has nodes. All the rest is the
package's own. ``PLANTED`` names defects which the same world has to show.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sim_nodes import ANSWERS, SimNode, World
from simulated import FAIR, FOUL, SimulatedCloud, Weather, error_of

from beowulf import scheduler
from beowulf.burst import collector, ledger
from beowulf.burst.intents import Minted
from beowulf.cloud.provider import Instance, LaunchRequest
from beowulf.controller import loop, replies
from beowulf.controller.draft import Action, Connect, Drop, Send
from beowulf.controller.loop import Controller
from beowulf.controller.policy import Policy
from beowulf.controller.rented import (
    CreateMachine,
    DestroyMachine,
    ListMachines,
    MachineCreated,
    MachineDestroyed,
    MachinesListed,
)
from beowulf.model import rented
from beowulf.model.cloud import Machine, MachineId, MachineState, Market, Offer
from beowulf.model.codec import decode, encode
from beowulf.model.event import Event
from beowulf.model.job import Burst, JobSpec
from beowulf.model.renting import Caps, Cloud, Renting
from beowulf.model.rules import Rules
from beowulf.model.snapshot import Snapshot, restore
from beowulf.store import Report

PLANTED = ("no-token", "late-intent", "early-store", "no-dead-man", "no-budget")
START = 1_800_000_000.0  # a day in a month of its own
OFFERS = tuple(
    Offer("sim", "r", zone, "big", 2, 4096, hourly_usd=3.6, spot_hourly_usd=1.2, as_of="2027-01-10") for zone in "abc"
)
RENTING = Renting(
    lease_s=120.0,
    idle_release_s=40.0,
    ready_timeout_s=180.0,
    grace_s=45.0,
    list_every_s=15.0,
    caps=Caps(month_usd=40.0),
    clouds=(Cloud("sim", "aws"),),
)


class Crash(BaseException):
    """The head's process is gone from here on."""


class MemoryStore:
    """`Store` for a controller that is killed a thousand times: values go through the codec, as rows would."""

    epoch = 1

    def __init__(self, world: RentedWorld) -> None:
        self._world = world
        self._kept: Snapshot = Snapshot()
        self.events: list[Event] = []

    @property
    def last(self) -> int:
        return len(self.events)

    def load(self) -> Snapshot:
        kept = self._kept
        keys = [(key, job_id, digest) for key, (job_id, digest) in kept.keys.items()]
        machines = [decode(Machine, encode(machine)) for machine in kept.machines.values()]
        loaded = restore(kept.jobs.values(), kept.nodes.values(), keys, machines)
        assert loaded.machines == kept.machines
        return loaded

    def commit(self, events: Sequence[Event], after: Snapshot, reports: Sequence[Report] = ()) -> int:
        self._world.before_commit(events, after)
        self._kept = after
        self.events.extend(events)
        self._world.after_commit(events)
        return len(self.events)


class RentedNode(SimNode):
    world: RentedWorld

    def on_stay_up(self, header: Mapping[str, Any]) -> None:
        self.world.cloud.renew(self.name, header["lease_s"])

    def on_ask(self, header: Mapping[str, Any]) -> None:
        if header["id"] != "reclaim":
            identity = {"code": 0, "out": f"boot_id={self.boot}\n", "err": "", "timed_out": False}
            answers = {**ANSWERS, "identity": identity}
            self.say("answers", id=header["id"], answers=answers, time=self.world.now)
            return
        now = self.world.now
        at = max((one.reclaim_at for one in self.world.cloud.ours_alive() if one.machine_id == self.name), default=0.0)
        notice = f"{self.boot} {at - START}" if at else ""
        said = {"notice": notice, "uptime": f"{now - START} 0"}
        self.say("answers", id="reclaim", answers={name: {"out": out} for name, out in said.items()}, time=now)


@dataclass
class Tally:
    seeds: int = 0
    launched: int = 0
    crashes: int = 0
    orphans: int = 0  # machines, and disks that some left; without a head nobody deletes a disk
    duplicates: int = 0
    wanted_destroyed: int = 0
    cents_over_cap: float = 0.0
    stuck: list[str] = field(default_factory=list)  # machines the store still holds though nobody wants them

    def add(self, other: Tally) -> None:
        for name in ("seeds", "launched", "crashes", "orphans", "duplicates", "wanted_destroyed", "cents_over_cap"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.stuck += other.stuck

    @property
    def clean(self) -> bool:
        return not (self.orphans or self.duplicates or self.wanted_destroyed or self.cents_over_cap or self.stuck)


@dataclass
class Pending:
    """A call that is on its way to the cloud: it acts when it is due, whether or not its caller still lives."""

    due: float
    action: CreateMachine | DestroyMachine | ListMachines
    began: float
    machine: Machine | None = None


class RentedWorld(World):
    def __init__(
        self,
        seed: int,
        *,
        planted: str = "",
        weather: Weather = FAIR,
        crash_rate: float = 0.0,
        renting: Renting = RENTING,
        market: Market = Market.ON_DEMAND,
    ) -> None:
        super().__init__(Path("/nowhere"), [], seed, policy=Policy(renting=renting, rules=Rules()))
        self.now = START
        self.market = market
        self.planted = planted
        self.crash_rate = crash_rate
        self.cloud = SimulatedCloud(
            "sim",
            lambda: self.now,
            self.random,
            "sim",
            weather=weather,
            honours_tokens=planted != "no-token",
            dead_man=planted != "no-dead-man",
        )
        self.disk = MemoryStore(self)
        self.calls: list[Pending] = []
        self.requests: dict[str, str] = {}  # token → digest: the same token always goes with the same request
        self.read_early: dict[float, Mapping[MachineId, Machine]] = {}
        self.tally = Tally(seeds=1)
        self.sizes: dict[str, int] = {}  # by job: the machines it may have

    # the head

    def head_up(self) -> None:
        self.controller = Controller(
            self.disk,  # type: ignore[arg-type]
            self.policy,
            clock=lambda: self.now,
            mint=self.mint,
        )
        self.controller._volatile.rented.chance = self.random
        self.inbox = []
        self.controller.begin(self)

    def head_killed(self) -> None:
        self.controller = None
        self.following, self.expected = set(), set()
        for node in self.nodes.values():
            node.linked = False

    def mint(self, machine: MachineId, offer: Offer, market: Market) -> Minted:
        return Minted(f"token-{self.random.getrandbits(64):x}", "ssh-ed25519 AAAA", f"{machine} {offer} {market}")

    def maybe_crash(self) -> None:
        if self.random.random() < self.crash_rate:
            raise Crash

    def before_commit(self, events: Sequence[Event], after: Snapshot) -> None:
        if any(type(event) in loop_points for event in events):
            if self.planted == "late-intent":
                for event in events:
                    if isinstance(event, rented.MachineIntended):
                        error_of(lambda event=event: self.cloud.create(self.request(after.machines[event.machine])))  # type: ignore[misc]
            self.maybe_crash()

    def after_commit(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, rented.OrphanFound):
                machine = self.disk._kept.machines.get(event.machine)
                instance = self.cloud.instances.get(event.instance_id) or self.cloud.disks[event.instance_id]
                wanted = machine is not None and machine.live and machine.state is not MachineState.TERMINATING
                self.tally.wanted_destroyed += bool(wanted and instance.token == machine.token)  # type: ignore[union-attr]
        if any(type(event) in loop_points for event in events):
            self.maybe_crash()

    # the cloud

    def request(self, machine: Machine) -> LaunchRequest:
        known = self.requests.setdefault(machine.token, machine.parameters)
        assert known == machine.parameters, "one token, two requests"
        return LaunchRequest(
            machine.token,
            machine.id,
            "sim",
            machine.offer,
            machine.market,
            "",
            "",
            machine.lease_s,
            machine.max_hourly_usd,
        )

    def perform(self, actions: Sequence[Action], snapshot: Snapshot) -> None:
        for action in actions:
            match action:
                case CreateMachine():
                    self._call(action, snapshot.machines[action.machine])
                case DestroyMachine() | ListMachines():
                    self._call(action)
                case Connect() if action.node not in snapshot.nodes:
                    pass  # removed in the same turn
                case Connect():
                    self._join(action, snapshot)
                case Drop():
                    self.nodes.pop(action.node, None)
                case Send() if action.node not in self.nodes:
                    pass
                case _:
                    super().perform([action], snapshot)

    def _call(self, action: CreateMachine | DestroyMachine | ListMachines, machine: Machine | None = None) -> None:
        if isinstance(action, ListMachines):
            self.read_early[self.now] = dict(self.disk._kept.machines)
        longest_s = 12.0 if isinstance(action, ListMachines) else 4.0
        self.calls.append(Pending(self.now + self.random.uniform(0.0, longest_s), action, self.now, machine))

    def _join(self, action: Connect, snapshot: Snapshot) -> None:
        node = self.nodes.setdefault(action.node, RentedNode(action.node, self))
        node.generation = snapshot.nodes[action.node].generation

    def _answer_calls(self) -> None:
        due = [call for call in self.calls if call.due <= self.now]
        self.calls = [call for call in self.calls if call.due > self.now]
        for call in due:
            answer = self._act(call)
            if self.controller is not None:
                self.maybe_crash()  # the cloud has acted, and nobody heard of it
                self.inbox.append(answer)

    def _act(self, call: Pending) -> Any:
        found: list[Instance] = []
        match call.action:
            case CreateMachine():
                assert call.machine is not None
                request = self.request(call.machine)
                error = error_of(lambda: found.append(self.cloud.create(request)))
                return MachineCreated(call.machine.id, found[0] if found else None, error)
            case DestroyMachine():
                error = error_of(lambda: self.cloud.destroy(call.action.instance_id))  # type: ignore[union-attr]
                return MachineDestroyed(call.action.instance_id, error)
            case ListMachines():
                error = error_of(lambda: found.extend(self.cloud.list()))
                return MachinesListed("sim", call.began, self.now, tuple(found), error)

    # time

    def step(self, seconds: float) -> None:
        self.cloud.step()
        self._power_off_the_ended()
        try:
            self._answer_calls()
            super().step(seconds)
        except Crash:
            self.tally.crashes += 1
            self.head_killed()
        self._watch()

    def _power_off_the_ended(self) -> None:
        alive = {one.machine_id for one in self.cloud.ours_alive()}
        for name in list(self.nodes):
            if name not in alive and self.nodes[name].powered:
                self.power_off(name)

    def _watch(self) -> None:
        """Two machines alive of one attempt, or more than a job has nodes; more money than there is."""
        alive = self.cloud.ours_alive()
        machines = self.disk._kept.machines
        by_machine = Counter(one.machine_id for one in alive)
        by_job = Counter(machines[one.machine_id].job_id for one in alive if one.machine_id in machines)
        doubles = sum(count - 1 for count in by_machine.values())
        doubles += sum(max(0, count - self.sizes.get(job_id, 0)) for job_id, count in by_job.items())
        self.tally.duplicates = max(self.tally.duplicates, doubles)
        over = 100.0 * (self.cloud.billed_usd() - kept_cap(self.policy))
        self.tally.cents_over_cap = max(self.tally.cents_over_cap, over if over > 1e-6 else 0.0)

    def wish(self, snapshot: Snapshot) -> tuple[scheduler.Grow, ...]:
        wishes = []
        for job_id in sorted(snapshot.pending):
            job = snapshot.jobs[job_id]
            self.sizes[job_id] = job.spec.min_nodes
            bought = [one for one in snapshot.machines.values() if one.live and one.job_id == job_id]
            count = job.spec.min_nodes - len(bought)
            if job.spec.burst.policy != "never" and count > 0:
                offer = OFFERS[snapshot.machines_made % len(OFFERS)]
                wishes.append(scheduler.Grow(job_id, offer, self.market, count, "it waits"))
        return tuple(wishes)


loop_points = frozenset({rented.MachineIntended, rented.MachineBooting, rented.MachineEnding, rented.MachineGone})


def kept_cap(policy: Policy) -> float:
    return policy.renting.caps.month_usd


def install(world: RentedWorld, patch: Any) -> None:
    """The world's wishes instead of the planner's, and the planted defects that sit in the head."""
    replan = scheduler.replan

    def with_wishes(snapshot: Snapshot, now: float, rules: Rules, memo: Any) -> Any:
        plan, memo = replan(snapshot, now, rules, memo)
        return replace(plan, grow=world.wish(snapshot)), memo

    patch.setattr(loop.scheduler, "replan", with_wishes)
    if world.planted == "no-budget":
        patch.setattr(ledger, "over_budget", lambda *_: "")
    if world.planted == "early-store":
        judge = collector.judge

        def early(machines: Mapping[MachineId, Machine], look: collector.Look, grace_s: float) -> Any:
            stale = world.read_early.get(look.began, machines)
            return judge({name: one for name, one in stale.items() if name in machines}, look, grace_s)

        patch.setattr(replies.collector, "judge", early)


def run_seed(seed: int, patch: Any, planted: str = "", *, foul: bool = True) -> Tally:
    """Jobs come, the head crashes and comes back, or never does; at last nobody wants anything any more."""
    chance = random.Random(seed)
    caps = Caps(month_usd=chance.choice([0.4, 1.0, 2.0, 40.0]))
    world = RentedWorld(
        seed,
        planted=planted,
        weather=FOUL if foul else FAIR,
        crash_rate=0.05 if foul else 0.0,
        market=chance.choice([Market.ON_DEMAND, Market.SPOT]),
        renting=replace(RENTING, caps=caps),
    )
    install(world, patch)
    for _ in range(2):
        world.cloud.stranger()
    world.longest_s = chance.choice([30.0, 90.0, 900.0])
    _up(world)
    for _ in range(chance.randint(1, 3)):
        _submit(world, JobSpec(f"j{seed}", "true", min_nodes=chance.randint(1, 3), burst=Burst("auto")))
    _trouble(world, chance)
    if chance.random() < 0.25 or planted == "no-dead-man":
        _head_is_gone_for_ever(world)
    else:
        _calm(world)
    world.tally.launched = sum(1 for one in world.cloud.instances.values() if one.cluster == "sim")
    world.tally.orphans = len(world.cloud.ours_alive()) + (len(world.cloud.disks) if world.controller else 0)
    assert all(world.cloud.instances[name].alive for name in world.cloud.strangers)
    return world.tally


def _up(world: RentedWorld) -> None:
    while world.controller is None:
        try:
            world.head_up()
        except Crash:
            world.tally.crashes += 1
            world.head_killed()


def _submit(world: RentedWorld, spec: JobSpec) -> None:
    try:
        world.submit(spec)
    except Crash:
        world.tally.crashes += 1
        world.head_killed()
        _up(world)


def _trouble(world: RentedWorld, chance: random.Random) -> None:
    down_until = 0.0
    for _ in range(400):
        world.step(1.0 if world.now - START < 150.0 else 3.0)
        if chance.random() < 0.005:
            world.cloud.throttled_until = world.now + 60.0
        if world.controller is None:
            down_until = down_until or world.now + chance.choice([1.0, 20.0, 200.0])
            if world.now >= down_until:
                down_until = 0.0
                _up(world)


def _calm(world: RentedWorld) -> None:
    """The sky clears; jobs end, machines idle, and are given back."""
    world.cloud.weather = FAIR
    world.crash_rate = 0.0
    world.cloud.throttled_until = 0.0
    _up(world)
    for _ in range(2500):
        world.step(2.0)
        done = not world.snapshot.pending and not world.snapshot.active
        if done and not any(one.live for one in world.snapshot.machines.values()):
            break
    for _ in range(60):
        world.step(2.0)  # the collector looks once more
    world.tally.stuck = [f"{one.id} {one.state}" for one in world.snapshot.machines.values() if one.live]


def _head_is_gone_for_ever(world: RentedWorld) -> None:
    world.head_killed()
    world.controller = None
    end = world.now + world.policy.renting.lease_s + 60.0 + 30.0 + 4.0  # lease, grace, a boot, a call on its way
    while world.now < end:
        world.step(2.0)
