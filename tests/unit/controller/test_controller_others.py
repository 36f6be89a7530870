"""Processes that are no jobs of ours, as the controller hears of them from a node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sim_nodes
from sim_nodes import World

from beowulf.controller.policy import Policy
from beowulf.model.event import NodeUp
from beowulf.model.job import JobSpec, JobState, Resources

FAT = JobSpec("fat", "true", resources=Resources(cpus=2))


def saying(world: World, *processes: str) -> dict[str, Any]:
    said = "\n".join((f"uptime\t{world.now}", *processes))
    return {**sim_nodes.ANSWERS, "processes": {"code": 0, "out": said, "err": "", "timed_out": False}}


def test_a_busy_stranger_takes_a_thread_until_it_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, ["n1"], 1, policy=Policy(cluster="sim"))
    world.longest_s = 1.0
    world.head_up()
    world.step(1.0)

    def look(*processes: str) -> None:
        monkeypatch.setattr(sim_nodes, "ANSWERS", saying(world, *processes))
        world.step(world.policy.others_every_s)
        world.step(1.0)

    look("process\t900\t500\t70\tbob\t\tmake")
    look("process\t900\t500\t130\tbob\t\tmake", "process\t950\t500\t61\tann\tBEOWULF_JOB=sim/9.1\tpython3")
    facts = world.snapshot.nodes["n1"].facts
    assert len(facts.foreign_cpus) == 1
    assert facts.foreign == "1 thread used by make (pid 900 of bob), no job of this cluster"
    job = world.submit(FAT)
    world.step(1.0)
    assert world.snapshot.jobs[job].state is JobState.PENDING
    assert world.controller is not None and "make (pid 900 of bob)" in world.controller.waiting[job].sentence
    look()
    world.step(5.0)
    assert world.snapshot.jobs[job].state is JobState.ENDED


def test_the_full_facts_do_not_forget_who_else_works_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, ["n1"], 1, policy=Policy(cluster="sim", facts_every_s=130.0))
    world.head_up()
    world.step(1.0)
    for used in range(1, 6):
        monkeypatch.setattr(sim_nodes, "ANSWERS", saying(world, f"process\t900\t5\t{60 * used}\tbob\t\tmake"))
        world.step(61.0)
        world.step(0.1)
        assert used < 3 or len(world.snapshot.nodes["n1"].facts.foreign_cpus) == 1
    assert world.store is not None
    ups = [stored for stored in world.store.events(0, 1000) if stored.kind == NodeUp.__name__]
    assert len(ups) < 8  # only what changed is told
