"""The head's clock is set (F26): by minutes or, as on machines whose battery is flat, by years. Nothing ends, expires
or is torn down for it, and nothing that was due comes later."""

from __future__ import annotations

from collections import deque
from dataclasses import fields
from pathlib import Path

import pytest
from sim_nodes import ME, World

from beowulf.controller import commands as co
from beowulf.controller.rented import Call, Listing, Rented
from beowulf.controller.volatile import Checkpointing, Late, Pacing, Resizing, Volatile
from beowulf.controller.watch import Watch
from beowulf.model.clock import Clock, step_s
from beowulf.model.job import JobSpec, JobState, Launcher, Resources

YEARS_S = 16 * 365.25 * 86400.0


def test_limits_are_looked_at_right_after_the_clock_was_set_back(tmp_path: Path) -> None:
    world = World(tmp_path, ["n1"], 1)
    world.longest_s = 10_000.0
    world.head_up()
    world.step(1.0)
    world.now -= 600.0
    job = world.submit(JobSpec("short", "true", max_duration_s=5.0))
    for _ in range(20):
        world.step(1.0)
    assert world.snapshot.jobs[job].word == "TIMEOUT"


def test_the_facts_and_who_else_works_there_are_asked_for_again(tmp_path: Path) -> None:
    world = World(tmp_path, ["n1"], 1)
    world.head_up()
    world.step(1.0)
    heard: list[str] = []
    world.nodes["n1"].on_ask = lambda header: heard.append(header["id"])  # type: ignore[method-assign]
    world.now -= 1000.0
    world.step(1.0)
    assert heard == ["facts"]


def one_that_runs(folder: Path, limit_s: float = 100.0, nodes: int = 1) -> tuple[World, str]:
    """It has run for ten seconds, and would for ever."""
    world = World(folder, [f"n{number}" for number in range(1, nodes + 1)], 1)
    world.head_up()
    world.step(1.0)
    launcher = Launcher.TORCHRUN if nodes > 1 else Launcher.COMMAND
    spec = JobSpec("long", "true", launcher=launcher, min_nodes=nodes, max_nodes=nodes, max_duration_s=limit_s)
    job = world.submit(spec)
    world.step(1.0)
    for node in world.nodes.values():
        for keeper in node.keepers.values():
            keeper.ends_at = 1e12
    for _ in range(10):
        world.step(1.0)
    assert world.snapshot.jobs[job].state is JobState.RUNNING
    return world, job


def ran_s(world: World, job: str) -> float:
    """Until its time was up; the test's own patience is 200 s."""
    begun = world.now
    while world.snapshot.jobs[job].live and world.now < begun + 200.0:
        world.step(1.0)
    assert world.snapshot.jobs[job].word == "TIMEOUT"
    attempt = world.snapshot.jobs[job].attempts[-1]
    assert attempt.ended_at - attempt.started_at == pytest.approx(100.0, abs=5.0)
    return world.now - begun


@pytest.mark.parametrize("by_s", [YEARS_S, -YEARS_S, 600.0, -600.0, 3.0])
def test_a_job_has_run_as_long_as_it_has_whatever_the_clock_is_set_to(tmp_path: Path, by_s: float) -> None:
    world, job = one_that_runs(tmp_path)
    world.clock_off_s += by_s
    for _ in range(10):
        world.step(1.0)
    assert world.snapshot.jobs[job].state is JobState.RUNNING
    started_at = world.snapshot.jobs[job].attempts[0].started_at
    assert world.wall() - started_at == pytest.approx(20.0, abs=3.0)
    assert ran_s(world, job) == pytest.approx(80.0, abs=5.0)
    assert world.store is not None
    assert [stored.kind for stored in world.store.events(0, 1000)].count("ClockStepped") == 1


@pytest.mark.parametrize("by_s", [YEARS_S, -YEARS_S])
def test_it_is_set_while_no_head_is_there(tmp_path: Path, by_s: float) -> None:
    """The time since the boot tells the time that passed: the job went on."""
    world, job = one_that_runs(tmp_path)
    world.head_killed()
    world.step(30.0)
    world.clock_off_s += by_s
    world.head_up()
    world.step(1.0)
    assert world.snapshot.jobs[job].state is JobState.RUNNING
    assert ran_s(world, job) == pytest.approx(60.0, abs=5.0)


def test_a_flat_battery_the_head_comes_up_in_2010_and_is_set_right_later(tmp_path: Path) -> None:
    """Nobody knows how long the power was off: no time is taken to have passed since the last word in the store."""
    world, job = one_that_runs(tmp_path)
    world.submit(JobSpec("waits", "true", nodelist=("n1",), resources=Resources(cpus=2)))
    world.head_killed()
    world.step(30.0)
    world.boot, world.clock_off_s = "second", -YEARS_S
    world.head_up()
    for _ in range(20):
        world.step(1.0)
    assert world.snapshot.jobs[job].state is JobState.RUNNING
    world.clock_off_s = 0.0
    world.step(1.0)
    assert world.snapshot.jobs[job].state is JobState.RUNNING
    assert ran_s(world, job) == pytest.approx(70.0, abs=5.0)


def test_after_a_reboot_a_clock_that_went_on_is_believed(tmp_path: Path) -> None:
    world, job = one_that_runs(tmp_path)
    world.head_killed()
    world.step(300.0)
    world.boot = "second"
    world.head_up()
    for _ in range(5):
        world.step(1.0)
    assert world.snapshot.jobs[job].word in ("TIMEOUT", "COMPLETING")


def test_a_node_is_not_gone_for_longer_than_it_is(tmp_path: Path) -> None:
    world, job = one_that_runs(tmp_path, limit_s=0.0, nodes=2)
    world.unlink("n2")
    world.nodes["n2"].powered = False
    world.step(1.0)
    world.clock_off_s += YEARS_S
    world.step(1.0)
    assert world.snapshot.jobs[job].state is JobState.RUNNING
    world.nodes["n2"].powered = True
    for _ in range(30):
        world.step(1.0)
    assert world.snapshot.jobs[job].state is JobState.RUNNING
    world.ask(co.Cancel(ME, job)).result()


def test_every_moment_that_is_kept_in_memory_moves() -> None:
    state = Volatile(
        down_since={"n": 1.0},
        failures={"n": deque([1.0], maxlen=4)},
        logs_due={"1.1": {"n": 1.0}},
        logs_held={("1.1", "n"): 1.0},
        late={"1.1": Late(1.0, again_at=1.0)},
        checkpoints={"1.1": Checkpointing(made_at=1.0, began_at=1.0, next_at=1.0)},
        pacing={"1.1": Pacing(7, 1.0, 1.0)},
        resizing={"1.1": Resizing(1.0, set())},
        resize_looked=1.0,
        deaf={"1.1": 1.0},
        renewed={"n": 1.0},
        asked={"n": 1.0},
        looked={"n": 1.0},
    )
    call, listing = Call(next_at=1.0, ended_at=1.0), Listing(next_at=1.0, ended_at=1.0, began=1.0)
    moments = {"missing": {"m": 1.0}, "renewed": {"m": 1.0}, "asked": {"m": 1.0}, "leaving": {"1.1": 1.0}}
    state.rented = Rented({"m": call}, {"i": call.__class__(next_at=1.0, ended_at=1.0)}, {"aws": listing}, **moments)
    state.move(4.0)
    rented, found = state.rented, {one.name: getattr(state, one.name) for one in fields(state)}
    del found["rented"]
    untimed = {"links", "gatherings", "collecting", "collected", "memo", "pythons", "seen"}
    assert {name for name, value in found.items() if "5.0" not in repr(value)} == untimed
    assert "1.0" not in repr(found)
    assert (call.next_at, call.ended_at, listing.next_at, listing.began) == (5.0, 5.0, 5.0, 5.0)
    assert [rented.missing, rented.renewed, rented.asked] == [{"m": 5.0}] * 3 and rented.leaving == {"1.1": 5.0}


def test_two_clocks_that_were_read_far_apart_are_read_again() -> None:
    """A machine that is stopped between the two readings has not been set."""
    up = iter([10.0, 500.0, 500.0, 500.01])
    watch = Watch(lambda: 1000.0, lambda: next(up), "b", Clock(990.0, "b", 500.0))
    assert watch.read() == Clock(1000.0, "b", 1000.0 - 500.01)


def test_what_counts_as_a_step() -> None:
    before = Clock(1000.0, "b", 900.0)
    assert step_s(before, Clock(2000.0, "b", 901.0)) == 0.0
    assert step_s(before, Clock(2000.0, "b", 903.0)) == 3.0
    assert step_s(before, Clock(2000.0, "c", 5.0)) == 0.0
    assert step_s(before, Clock(400.0, "c", 5.0)) == -600.0
    assert step_s(before, Clock(400.0)) == 0.0
