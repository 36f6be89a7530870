"""No device twice: a machine under two names gets jobs under one of them."""

from __future__ import annotations

from pathlib import Path

from sim_nodes import ME, World

from beowulf.controller import commands as co
from beowulf.model.event import NodeAccepted, NodeRefused
from beowulf.model.job import JobSpec, JobState, Resources
from beowulf.scheduler.room import unavailable

FAT = JobSpec("fat", "true", resources=Resources(cpus=2))


def twins(folder: Path) -> World:
    """``n1`` and ``n2`` are one machine, ``n3`` another."""
    world = World(folder, ["n1", "n2", "n3"], 1)
    world.longest_s = 1000.0
    for name, boot in (("n1", 7), ("n2", 7), ("n3", 8)):
        world.nodes[name].boot, world.nodes[name].processes = boot, "pid:[4026531836]"
    world.head_up()
    world.step(1.0)
    return world


def refusals(world: World) -> list[tuple[str, str]]:
    assert world.store is not None
    events = [stored.event for stored in world.store.events(0, 10_000)]
    return [(type(event).__name__, event.node) for event in events if isinstance(event, (NodeRefused, NodeAccepted))]


def places(world: World) -> list[str]:
    attempts = (job.attempt for job in world.snapshot.jobs.values())
    return sorted(node for attempt in attempts if attempt for node in attempt.allocation.nodes)


def test_the_second_name_gets_no_jobs_and_says_why(tmp_path: Path) -> None:
    world = twins(tmp_path)
    for _ in range(3):
        world.submit(FAT)
    world.step(1.0)
    assert places(world) == ["n1", "n3"]
    assert refusals(world) == [("NodeRefused", "n2")]
    refused = world.snapshot.nodes["n2"]
    assert refused.same_as == "n1"
    why = unavailable(refused)
    assert why is not None and why.sentence == "the same machine as n1"


def test_it_is_accepted_as_soon_as_the_first_name_is_removed(tmp_path: Path) -> None:
    world = twins(tmp_path)
    world.ask(co.RemoveNode(ME, "n1")).result()
    assert refusals(world) == [("NodeRefused", "n2"), ("NodeAccepted", "n2")]
    for _ in range(2):
        world.submit(FAT)
    world.step(1.0)
    assert places(world) == ["n2", "n3"]


def test_a_name_that_is_gone_for_good_gives_its_machine_up_unless_it_has_a_job(tmp_path: Path) -> None:
    world = twins(tmp_path)
    job = world.submit(JobSpec("here", "true", nodelist=("n1",)))
    world.step(1.0)
    assert world.snapshot.jobs[job].state is JobState.RUNNING
    world.unlink("n1")
    world.nodes["n1"].powered = False  # another address: nobody answers at the old one, and the job goes on
    world.step(1.0)
    assert world.snapshot.nodes["n2"].same_as == "n1"
    world.nodes["n1"].powered = True
    world.step(1.0)
    world.ask(co.Cancel(ME, job)).result()
    for _ in range(20):
        world.step(1.0)
    assert not world.snapshot.jobs[job].live
    world.unlink("n1")
    world.nodes["n1"].powered = False
    world.step(1.0)
    assert world.snapshot.nodes["n2"].same_as == ""


def test_a_restart_of_the_head_changes_nothing_whoever_answers_first(tmp_path: Path) -> None:
    world = twins(tmp_path)
    world.head_killed()
    world.nodes["n1"].powered = False  # slow to answer
    world.head_up()
    world.step(1.0)
    assert world.snapshot.nodes["n2"].same_as == "n1"
    world.nodes["n1"].powered = True
    world.step(1.0)
    assert {name for name, node in world.snapshot.nodes.items() if node.schedulable} == {"n1", "n3"}
    assert refusals(world) == [("NodeRefused", "n2")]


def test_another_machine_under_a_known_name_is_welcome(tmp_path: Path) -> None:
    world = twins(tmp_path)
    world.power_off("n2")
    world.nodes["n2"].boot = 9
    world.nodes["n2"].powered = True
    world.step(1.0)
    assert world.snapshot.nodes["n2"].same_as == "" and world.snapshot.nodes["n2"].schedulable
