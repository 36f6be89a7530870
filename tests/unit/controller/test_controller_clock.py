"""The head's clock is set back (F26): what time alone brings about goes on at once, not when the old time is reached."""

from __future__ import annotations

from pathlib import Path

from sim_nodes import World

from beowulf.model.event import JobPlaced
from beowulf.model.job import JobSpec, JobState


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


def test_the_queue_is_ranked_again(tmp_path: Path) -> None:
    world = World(tmp_path, ["n1"], 1)
    world.head_up()
    world.step(1.0)
    world.longest_s = 3.0
    first = world.submit(JobSpec("first", "true", min_nodes=1, max_nodes=1))
    waits = world.submit(JobSpec("wide", "true", min_nodes=2, max_nodes=2))
    world.step(1.0)
    assert world.controller is not None
    world.now -= 600.0
    world.step(0.1)
    assert world.controller._plan_again_at <= world.now + 31.0
    assert world.snapshot.jobs[waits].state is JobState.PENDING and first in world.snapshot.jobs
    assert world.store is not None
    assert [one.kind for one in world.store.events(0, 1000)].count(JobPlaced.__name__) == 1
