"""Any order of submits, cancels, crashes, throttles, reclaims and vanishing machines, found by Hypothesis."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from rented_world import RENTING, RentedWorld, install
from simulated import FOUL, Weather

from beowulf.controller import commands as co
from beowulf.model.cloud import Market
from beowulf.model.job import Burst, JobSpec
from beowulf.model.renting import Caps

ME = co.Caller("me", 1000, True)


class Rentals(RuleBasedStateMachine):
    @initialize(seed=st.integers(0, 2**32), cap=st.sampled_from([0.5, 1.5, 40.0]), market=st.sampled_from(list(Market)))
    def begin(self, seed: int, cap: float, market: Market) -> None:
        self.patch = pytest.MonkeyPatch()
        renting = replace(RENTING, caps=Caps(month_usd=cap))
        self.world = RentedWorld(seed, weather=FOUL, renting=renting, market=market)
        install(self.world, self.patch)
        self.world.head_up()

    def up(self) -> bool:
        return self.world.controller is not None

    @precondition(up)
    @rule(nodes=st.integers(1, 3))
    def submit(self, nodes: int) -> None:
        if len(self.world.snapshot.jobs) < 4:
            self.world.submit(JobSpec("j", "true", min_nodes=nodes, burst=Burst("auto")))

    @precondition(up)
    @rule(number=st.integers(1, 4))
    def cancel(self, number: int) -> None:
        job = self.world.snapshot.jobs.get(str(number))
        if job is not None and job.live:
            self.world.ask(co.Cancel(ME, job.id)).result()

    @rule(seconds=st.integers(1, 60))
    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.world.step(1.0)

    @precondition(up)
    @rule(seconds=st.sampled_from([1, 30, 300]))
    def crash(self, seconds: int) -> None:
        self.world.head_killed()
        for _ in range(seconds):
            self.world.step(1.0)
        self.world.head_up()

    @rule(at=st.integers(0, 20))
    def vanish(self, at: int) -> None:
        alive = self.world.cloud.ours_alive()
        if alive:
            self.world.cloud.vanish(alive[at % len(alive)].instance_id)

    @rule(seconds=st.sampled_from([30.0, 200.0]))
    def throttle(self, seconds: float) -> None:
        self.world.cloud.throttled_until = self.world.now + seconds

    @rule()
    def orphan(self) -> None:
        if self.world.policy.renting.caps.month_usd > 10.0:  # what nobody ordered is in nobody's budget
            self.world.cloud.orphan("token-nobody-knows")

    @invariant()
    def at_most_one_machine_per_purpose_and_no_cent_over_the_cap(self) -> None:
        if hasattr(self, "world"):
            tally = self.world.tally
            assert not tally.duplicates and not tally.wanted_destroyed and not tally.cents_over_cap, tally

    def teardown(self) -> None:
        """Nobody wants anything any more: all of it ends."""
        if not hasattr(self, "world"):
            return
        world = self.world
        world.cloud.weather = Weather()
        for job in list(world.snapshot.jobs.values()):
            if job.live:
                world.ask(co.Cancel(ME, job.id)).result()
        for _ in range(400):
            world.step(2.0)
        assert not world.cloud.ours_alive()
        assert not [one.id for one in world.snapshot.machines.values() if one.live]
        self.patch.undo()


# A story that fails is not made shorter: each takes a second, and that would take minutes.
Rentals.TestCase.settings = settings(max_examples=12, stateful_step_count=20, deadline=None, phases=(Phase.generate,))
TestRentals = Rentals.TestCase
