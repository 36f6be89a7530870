"""One seed is one history: what people do, what breaks, and in the end a quiet while in which all must come right."""

from __future__ import annotations

import random
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import rented
from invariants import Watch
from rented import Auditor, RentedWorld
from scene import Doom, Moods, Wish
from simulated import FAIR, FOUL
from structlog.testing import capture_logs
from world import ADMIN, World

from beowulf.controller import commands as co
from beowulf.model.job import Checkpointing, Dependency, JobSpec, Launcher, Resources, Retry

NAMES = ("n1", "n2", "n3", "n4")
STEPS = 90
QUIET_STEPS = 300
TORCHRUN = Launcher.TORCHRUN
SPECS = (
    JobSpec("one", "true"),
    JobSpec("idle", "true", resources=Resources(cpus=3), service_class="idle"),
    JobSpec("urgent", "true", resources=Resources(cpus=2), service_class="urgent"),
    JobSpec("gang", "true", launcher=TORCHRUN, min_nodes=3, max_nodes=3, retry=Retry(("node_fail", "error"), 9)),
    JobSpec("pair", "true", launcher=TORCHRUN, min_nodes=2, max_nodes=4, procs_per_node=2, on_rank_loss="requeue"),
    JobSpec("setup", "true", setup="true", min_nodes=2, max_nodes=2, max_duration_s=9.0, outputs=("out",)),
    JobSpec(
        "elastic",
        "true",
        launcher=TORCHRUN,
        max_nodes=4,
        checkpoint=Checkpointing("ckpt"),
        on_rank_loss="shrink",
        retry=Retry(("node_fail", "error"), 5),
    ),
    JobSpec(
        "mover",
        "true",
        resources=Resources(gpus=1),
        checkpoint=Checkpointing("ckpt"),
        steps=100_000,
        retry=Retry(("node_fail", "error"), 9),
    ),
    JobSpec("gpu", "true", resources=Resources(gpus=1)),
    JobSpec("half", "true", resources=Resources(gpus=1, gpu_fraction=0.5)),
    JobSpec("part", "true", resources=Resources(gpus=1, gpu_part_mib=9000)),
)


class Broken(AssertionError):
    """An invariant does not hold."""


class History:
    def __init__(self, folder: Path, seed: int) -> None:
        self.seed = seed
        self.chance = random.Random(f"history {seed}")
        self.world, self.audit = self._world(folder)
        self.watch = Watch(self.world)
        self._dark: dict[str, float] = {}  # nodes that stay out of sight until then
        self.told: list[str] = []  # what was done, for who reads a failure

    def _world(self, folder: Path) -> tuple[World, Auditor | None]:
        """Every other seed has a cloud beside fewer machines of its own."""
        if self.seed % 2:
            return World(folder, NAMES, self.seed, self._moods()), None
        weather = replace(FOUL, notice_s=self.chance.choice([0.0, 30.0]))
        cap_usd = self.chance.choice([0.8, 40.0, 40.0])
        world = RentedWorld(folder, NAMES[:2], self.seed, self._moods(), weather, cap_usd)
        return world, Auditor(world)

    def _moods(self) -> Moods:
        return Moods(
            failing=self.chance.choice([0.0, 0.1, 0.3]),
            longest_s=self.chance.choice([5.0, 20.0, 90.0, 90.0]),
            latest_s=self.chance.choice([0.1, 1.0, 4.0]),
        )

    def run(self) -> None:
        with capture_logs() as logs:
            self.world.head_up()
            for name in list(self.world.agents):
                self.world.add(name)
            for _ in range(STEPS):
                self._happen()
                self._step(self.chance.choice([0.01, 0.3, 1.0, 4.0, 8.0]))
            self._quiet()
        dropped = [entry for entry in logs if entry["event"] in ("input dropped", "unexpected frame")]
        if dropped:
            self._fail([f"a frame was dropped: {dropped[0]}"])

    def _step(self, seconds: float) -> None:
        self.world.step(seconds)
        faults = [*self.watch.faults(), *(self.audit.faults() if self.audit else ())]
        if faults:
            self._fail(faults)

    def _fail(self, faults: list[str]) -> None:
        last = "\n".join(self.told[-12:])
        said = "\n".join(faults[:8])
        raise Broken(f"{said}\nafter:\n{last}\nreplay: python tests/system {self.seed}")

    def _happen(self) -> None:
        kinds = list(HAPPENINGS)
        kind = self.chance.choices(kinds, [HAPPENINGS[name] for name in kinds])[0]
        self.told.append(f"{self.world.now:.2f} {kind}")
        getattr(self, f"_{kind}")()
        for wish in self.world.wishes:
            if not wish.job and self.chance.random() < 0.5:
                self.world.submit(wish)

    def _nothing(self) -> None:
        pass

    def _submit(self) -> None:
        if len(self.world.wishes) >= 22:
            return
        spec = self.chance.choice(SPECS if self.audit is None else (*SPECS, *rented.SPECS * 3))
        array = (1, 2, 3) if self.chance.random() < 0.1 else ()
        known = [wish.job for wish in self.world.wishes if wish.job]
        if known and self.chance.random() < 0.1:
            need = Dependency(self.chance.choice(["afterok", "afterany"]), self.chance.choice(known))
            spec = JobSpec("later", "true", dependencies=(need,))
        wish = Wish(f"key{len(self.world.wishes)}", self.chance.choice(["ann", "bob"]), spec, array)
        self.world.wishes.append(wish)
        self.world.submit(wish)

    def _cancel(self) -> None:
        known = [wish.job for wish in self.world.wishes if wish.job]
        if known:
            self.world.ask(co.Cancel(ADMIN, self.chance.choice(known)))

    def _kill_head(self) -> None:
        """At once, or in the middle of its next turn."""
        point = self.chance.choice(["now", "before", "after", "action", "answer"])
        self.told[-1] += f" {point}"
        if point == "now" and self.world.controller is not None:
            self.world.head_killed()
        else:
            self.world.doom = Doom(point, self.chance.randrange(4))

    def _start_head(self) -> None:
        if self.world.controller is None:
            self.world.head_up()

    def _cut(self) -> None:
        self.world.cut(self.chance.choice(sorted(self.world.agents)), reachable=self.chance.random() < 0.5)

    def _partition(self) -> None:
        """A node that works is out of sight for longer than a gang waits for it."""
        working = sorted({node for node, _ in self.world.truth.running})
        if working:
            name = self.chance.choice(working)
            self._dark[name] = self.world.now + self.chance.choice([20.0, 60.0])
            self.world.cut(name, reachable=False)

    def _reboot(self) -> None:
        self.world.power_off(self.chance.choice(sorted(self.world.agents)), disk=self.chance.random() < 0.6)

    def _heal(self) -> None:
        agent = self.world.agents[self.chance.choice(sorted(self.world.agents))]
        if self._dark.get(agent.name, 0.0) <= self.world.now:
            agent.heal()

    def _lose_for_ever(self) -> None:
        """A machine is gone; sooner or later the admin removes it and puts another in its place."""
        machines = sorted(name for name in self.world.agents if name.startswith("n"))
        if len(machines) >= 6 or self.world.controller is None:
            return
        name = self.chance.choice(machines)
        if name not in self.world.snapshot.nodes:
            return
        self.told[-1] += f" {name}"
        self.world.power_off(name, disk=False)
        self.world.step(20.0)
        if self.world.controller is None or self.world.ask(co.RemoveNode(ADMIN, name)) != name:
            return
        new = f"n{len(machines) + 1}"
        self.world.machine(new)
        self.world.add(new)

    def _fill_disk(self) -> None:
        self.world.disk_full = True

    def _empty_disk(self) -> None:
        self.world.disk_full = False

    def _stranger(self) -> None:
        if isinstance(self.world, RentedWorld):
            self.world.cloud.stranger()

    def _throttle(self) -> None:
        if isinstance(self.world, RentedWorld):
            self.world.cloud.throttled_until = self.world.now + self.chance.choice([20.0, 100.0])

    def _step_clock(self) -> None:
        if self.audit is None:
            self.world.clock_off_s += self.chance.choice([-600.0, 600.0, 3.0])

    def _quiet(self) -> None:
        """Everything heals; everybody must come to an end."""
        self.world.disk_full, self.world.doom = False, Doom()
        self.told.append(f"{self.world.now:.2f} all is well")
        self.world.moods = Moods(failing=0.0, longest_s=10.0, apart=0.0, full=0.0, latest_s=0.2)
        for agent in self.world.agents.values():
            agent.moods = self.world.moods
            agent.up.latest_s = agent.down.latest_s = self.world.moods.latest_s
        if isinstance(self.world, RentedWorld):
            self.world.cloud.weather = FAIR
        for number in range(QUIET_STEPS):
            if number == QUIET_STEPS // 2 and self.audit is not None:
                self._give_up()
            for agent in self.world.agents.values():
                agent.heal()
            self._start_head()
            for wish in self.world.wishes:
                if not wish.job:
                    self.world.submit(wish)
            for agent in list(self.world.agents.values()):
                node = self.world.snapshot.nodes.get(agent.name)
                if node is None and agent.generation == 0 and agent.name.startswith("n"):
                    self.world.add(agent.name)
                elif node is not None and node.drained:
                    self.world.ask(co.ResumeNode(ADMIN, agent.name))
            self._step(3.0)
            if not list(self._left_over()):
                break
        left = list(self._left_over())
        if left:
            self._fail(left)

    def _give_up(self) -> None:
        """What waits now waits for money that is spent, or for more machines than there are without."""
        for job in self.world.live().values():
            if job.state == "PENDING":
                self.world.ask(co.Cancel(ADMIN, job.id))

    def _left_over(self) -> Iterator[str]:
        yield from self.watch.left_over()
        if self.audit is not None:
            yield from self.audit.left_over()


HAPPENINGS = {
    "nothing": 30,
    "submit": 30,
    "cancel": 4,
    "kill_head": 9,
    "start_head": 25,
    "cut": 8,
    "partition": 7,
    "reboot": 4,
    "heal": 12,
    "lose_for_ever": 1,
    "fill_disk": 2,
    "empty_disk": 8,
    "step_clock": 2,
    "stranger": 1,
    "throttle": 2,
}


def play(seed: int) -> None:
    """Raises `Broken` with what is wrong and the command that plays it again."""
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as folder:
        history = History(Path(folder), seed)
        try:
            history.run()
        except Broken:
            raise
        except Exception as error:  # the controller's thread would have ended with it
            where = traceback.extract_tb(error.__traceback__)[-1]
            history._fail([f"the controller stopped: {error!r} in {Path(where.filename).name}:{where.lineno}"])
        finally:
            if history.world.store is not None:
                history.world.store.close()


__all__ = ["Broken", "History", "play"]
