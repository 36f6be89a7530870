"""A world that may rent machines too: the simulated cloud of `tests/cloud` behind the real planner and collector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agents import Agent
from scene import Moods
from simulated import SimulatedCloud, Weather, error_of
from world import World

from beowulf.burst.intents import Minted
from beowulf.burst.ledger import TICK_S
from beowulf.cloud.provider import Instance, LaunchRequest
from beowulf.controller import draft as act
from beowulf.controller import rented as calls
from beowulf.model.cloud import Machine, MachineId, Market, Offer
from beowulf.model.job import Burst, JobSpec, Launcher, Resources, Retry
from beowulf.model.market import MarketRules
from beowulf.model.renting import Caps, Cloud, Renting
from beowulf.model.snapshot import Snapshot

OFFERS = tuple(
    Offer("sim", "r", zone, "big", 3, 4096, hourly_usd=3.6, spot_hourly_usd=1.2, as_of="1970-01-10") for zone in "ab"
)
ANYWAY = Burst("prefer")
SPECS = (
    JobSpec("away", "true", resources=Resources(cpus=3), burst=ANYWAY, max_duration_s=60.0),
    JobSpec("on demand", "true", resources=Resources(cpus=2), burst=replace(ANYWAY, use_spot=False)),
    JobSpec(
        "away together",
        "true",
        launcher=Launcher.TORCHRUN,
        min_nodes=3,
        max_nodes=3,
        resources=Resources(cpus=2),
        burst=ANYWAY,
        max_duration_s=60.0,
        retry=Retry(("node_fail", "error"), 9),
    ),
)
UNWANTED_S = 240.0  # of the head's own time, until which a machine that nobody wants must be gone


@dataclass
class Sent:
    """A call on its way to the cloud: it acts when it is due, whether or not its caller still lives."""

    due: float
    action: Any
    began: float
    machine: Machine | None = None


class RentedWorld(World):
    def __init__(
        self, folder: Path, names: tuple[str, ...], seed: int, moods: Moods, weather: Weather, cap_usd: float
    ) -> None:
        super().__init__(folder, names, seed, moods)
        renting = Renting(
            lease_s=120.0,
            idle_release_s=40.0,
            ready_timeout_s=180.0,
            grace_s=45.0,
            list_every_s=15.0,
            caps=Caps(month_usd=cap_usd),
            clouds=(Cloud("sim", "aws"),),
        )
        market = MarketRules(offers=OFFERS, boot_s={"": 20.0}, ready_timeout_s=180.0, lease_s=120.0)
        self.policy = replace(self.policy, renting=renting, rules=replace(self.policy.rules, market=market))
        self.cloud = SimulatedCloud("sim", lambda: self.now, self.chance, "sim", weather=weather)
        self.sent: list[Sent] = []
        self.requests: dict[str, str] = {}  # token → digest of the request it first went with

    def mint(self, machine: MachineId, offer: Offer, market: Market) -> Minted:
        return Minted(f"token-{self.chance.getrandbits(64):x}", "ssh-ed25519 AAAA", f"{machine} {offer} {market}")

    def _createmachine(self, action: calls.CreateMachine, snapshot: Snapshot) -> None:
        self._on_its_way(action, snapshot.machines[action.machine])

    def _destroymachine(self, action: calls.DestroyMachine, snapshot: Snapshot) -> None:
        self._on_its_way(action)

    def _listmachines(self, action: calls.ListMachines, snapshot: Snapshot) -> None:
        self._on_its_way(action)

    def _on_its_way(self, action: Any, machine: Machine | None = None) -> None:
        self.sent.append(Sent(self.now + self.chance.random() * 4.0, action, self.now, machine))

    def _connect(self, action: act.Connect, snapshot: Snapshot) -> None:
        if action.node not in snapshot.nodes:
            return  # removed in the same turn
        if action.node not in self.agents:
            agent = Agent(action.node, self.chance, self.truth, self.moods, gpu="")
            agent.answers = self._say
            agent.stay_up = lambda lease_s: self.cloud.renew(agent.name, lease_s)
            self.agents[action.node] = agent
        super()._connect(action, snapshot)

    def _say(self, agent: Agent, topic: str) -> dict[str, Any]:
        if topic != "reclaim":
            return self.answers(agent, topic)
        taken = [one.reclaim_at for one in self.cloud.ours_alive() if one.machine_id == agent.name and one.reclaim_at]
        said = {"notice": f"{agent.boot} {taken[0]}" if taken else "", "uptime": f"{self.now} 0"}
        return {name: {"out": out} for name, out in said.items()}

    def step(self, seconds: float) -> None:
        self.cloud.step()
        self._switch_off()
        super().step(seconds)

    def _switch_off(self) -> None:
        """The machines that have ended by now."""
        alive = {one.machine_id for one in self.cloud.ours_alive()}
        for agent in self.agents.values():
            if not agent.name.startswith("n") and agent.name not in alive and not agent.over:
                agent.over = True
                self.power_off(agent.name, disk=False)

    def _work(self) -> None:
        super()._work()
        due = [call for call in self.sent if call.due <= self.now]
        self.sent = [call for call in self.sent if call.due > self.now]
        for call in due:
            answer = self._act(call)
            self._switch_off()
            # Whoever called may be dead: then the cloud has acted all the same, and nobody hears of it.
            if self.controller is not None:
                self.inbox.append(answer)

    def head_killed(self) -> None:
        super().head_killed()
        self.sent = [replace(call, began=-1.0) for call in self.sent]

    def _act(self, call: Sent) -> Any:
        found: list[Instance] = []
        match call.action:
            case calls.CreateMachine():
                request = self._request(call.machine)
                error = error_of(lambda: found.append(self.cloud.create(request)))
                return calls.MachineCreated(call.action.machine, found[0] if found else None, error)
            case calls.DestroyMachine():
                error = error_of(lambda: self.cloud.destroy(call.action.instance_id))
                return calls.MachineDestroyed(call.action.instance_id, error)
            case _:
                error = error_of(lambda: found.extend(self.cloud.list()))
                return calls.MachinesListed("sim", call.began, self.now, tuple(found), error)

    def _request(self, machine: Machine | None) -> LaunchRequest:
        assert machine is not None
        if self.requests.setdefault(machine.token, machine.parameters) != machine.parameters:
            self.truth.wrong.append(f"F3: the token of {machine.id} goes with two requests")
        offer, market = machine.offer, machine.market
        return LaunchRequest(
            machine.token, machine.id, "sim", offer, market, "", "", machine.lease_s, machine.max_hourly_usd
        )


class Auditor:
    """I5 and I7, by what the cloud really runs and bills."""

    def __init__(self, world: RentedWorld) -> None:
        self.world = world
        self._unwanted: dict[str, float] = {}  # instance → for how long of the head's life nobody has wanted it
        self._looked = world.now

    def faults(self) -> Iterator[str]:
        cloud, cap = self.world.cloud, self.world.policy.renting.caps.month_usd
        alive = cloud.ours_alive()
        tick_usd = sum(one.hourly_usd * TICK_S / 3600.0 for one in alive)
        if cloud.billed_usd() > cap + tick_usd + 1e-6:
            yield f"I7: ${cloud.billed_usd():.4f} were spent, and the cap is ${cap:.4f}"
        for machine, many in Counter(one.machine_id for one in alive).items():
            if many > 1:
                yield f"I5: {many} instances of {machine} run"
        yield from self._gone()
        yield from (f"F7: {name} was somebody else's" for name in cloud.strangers if not cloud.instances[name].alive)
        passed_s, self._looked = self.world.now - self._looked, self.world.now
        if self.world.controller is None:
            return
        wanted = {one.token for one in self.world.snapshot.machines.values() if one.live}
        self._unwanted = {
            one.instance_id: self._unwanted.get(one.instance_id, 0.0) + passed_s
            for one in alive
            if one.token not in wanted
        }
        yield from (f"I5: {name} runs for nobody" for name, since in self._unwanted.items() if since > UNWANTED_S)

    def _gone(self) -> Iterator[str]:
        """Whatever lists say: of a machine that has a name in the cloud, the head knows when it is gone."""
        alive = {one.instance_id for one in self.world.cloud.ours_alive()}
        if self.world.controller is not None:
            for one in self.world.snapshot.machines.values():
                if not one.live and one.instance_id in alive:
                    yield f"I5: {one.id} counts as gone, and {one.instance_id} runs"

    def left_over(self) -> Iterator[str]:
        yield from (f"I5: {one.instance_id} still runs" for one in self.world.cloud.ours_alive())
        yield from (f"I5: {one.id} is {one.state}" for one in self.world.snapshot.machines.values() if one.live)
