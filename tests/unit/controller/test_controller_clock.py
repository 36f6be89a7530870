"""The head's clock is set back (F26): what time alone brings about goes on at once, not when that time comes again."""

from __future__ import annotations

from pathlib import Path

from sim_nodes import World

from beowulf.model.job import JobSpec


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
