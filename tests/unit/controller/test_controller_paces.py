"""What the head learns while jobs run: how fast they go, and which nodes are lost again and again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sim_nodes import World
from test_controller_elastic import ELASTIC, job_of, pass_time, running, up

from beowulf.model.event import PaceMeasured


def measured(world: World) -> list[float]:
    events = [stored.event for stored in world.store.events(0, 10_000)]
    return [event.steps_per_s for event in events if isinstance(event, PaceMeasured)]


def train(world: World, job: str, steps: range) -> None:
    """Two steps a second."""
    for step in steps:
        world.nodes["n1"].say("report", attempt=f"{job}.1", rank=0, ends=[step + 1], lines=[{"step": 2 * step}])
        pass_time(world, 1)


def test_the_steps_ranks_report_say_how_fast_the_job_is_and_a_restart_remembers_it(tmp_path: Path) -> None:
    world = up(tmp_path)
    job = world.submit(replace(ELASTIC, min_nodes=4, steps=100_000))
    running(world, job)
    train(world, job, range(20))
    assert measured(world) == []
    train(world, job, range(20, 250))
    rates = measured(world)
    assert 3 <= len(rates) <= 4, "the surer, the rarer"
    assert rates == pytest.approx([2.0] * len(rates), rel=0.1)
    attempt = world.store.load().jobs[job].attempt
    assert attempt is not None and attempt.steps_per_s == rates[-1]


def test_a_job_that_no_device_suits_better_is_not_timed(tmp_path: Path) -> None:
    world = up(tmp_path)
    job = world.submit(ELASTIC)
    running(world, job)
    train(world, job, range(100))
    assert measured(world) == []


def test_a_node_that_is_lost_while_in_order_has_failed_and_that_fades(tmp_path: Path) -> None:
    world = up(tmp_path)
    for _ in range(2):
        world.power_off("n2")
        pass_time(world, 30)
        world.nodes["n2"].powered = True
        pass_time(world, 30)
    node = world.store.load().nodes["n2"]
    assert node.flakiness == 2 and world.snapshot.nodes["n1"].flakiness == 0
    assert node.failures.per_hour(world.now) == pytest.approx(2 / 336.0, rel=0.01)
    assert node.failures.per_hour(world.now + 14 * 86400.0) == pytest.approx(2 / 336.0 / 2.718, rel=0.01)
    job = world.submit(replace(ELASTIC, max_nodes=3))
    running(world, job)
    attempt = job_of(world, job).attempt
    assert attempt is not None and attempt.allocation.nodes == ("n1", "n3", "n4")
