"""What a job made comes home, or the job did not end well: nodes forget it when it has ended."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from sim_nodes import ME, World

from beowulf.controller import commands as co
from beowulf.controller.draft import Action, Collect
from beowulf.controller.inputs import Collected
from beowulf.controller.policy import Policy
from beowulf.model.job import JobSpec, ShareState
from beowulf.model.snapshot import Snapshot

MAKES = JobSpec("makes", "true", outputs=("results",))


class Collecting(World):
    """Says what comes of each try to bring outputs home, in order; the last of ``comes`` again and again."""

    comes: Sequence[tuple[str, bool]] = (("", False),)
    collected: list[tuple[str, ...]]

    def perform(self, actions: Sequence[Action], snapshot: Snapshot) -> None:
        for action in actions:
            if isinstance(action, Collect):
                error, passing = self.comes[min(len(self.collected), len(self.comes) - 1)]
                self.collected.append(action.nodes)
                self.inbox.append(Collected(action.tag, error, passing))
            else:
                super().perform([action], snapshot)

    def wait(self, seconds: float, by: float = 1.0) -> None:
        for _ in range(int(seconds / by)):
            self.step(by)


@pytest.fixture
def world(tmp_path: Path) -> Collecting:
    world = Collecting(tmp_path, ["n1", "n2"], 1, policy=Policy(lost_after_s=300.0))
    world.collected = []
    world.longest_s = 5.0
    world.head_up()
    world.step(1.0)
    return world


def ended_on_the_node(world: Collecting, spec: JobSpec) -> str:
    """A job whose ranks are done; word of that has come, and then the line was cut before the rest of its log came."""
    job = world.submit(spec)
    while not all(keeper.phase == "cleared" for node in nodes_of(world, job) for keeper in node.keepers.values()):
        world.step(0.1)
    for node in nodes_of(world, job):
        world.unlink(node.name)
        node.powered = False
    attempt = world.snapshot.jobs[job].attempt
    assert attempt is not None and set(attempt.shares.values()) == {ShareState.CLEARED} and not attempt.ended_at
    return job


def nodes_of(world: World, job: str) -> list:  # type: ignore[type-arg]
    world.step(0.0)
    attempt = world.snapshot.jobs[job].attempt
    assert attempt is not None
    return [world.nodes[name] for name in attempt.allocation.nodes]


def back(world: World) -> None:
    for node in world.nodes.values():
        node.powered = True
    world.step(1.0)


@pytest.fixture
def slow_logs(world: Collecting, monkeypatch: pytest.MonkeyPatch) -> Collecting:
    copied = world.copy_logs
    monkeypatch.setattr(world, "copy_logs", lambda node: copied(node) if world.now > 1100.0 else None)
    return world


def test_a_line_that_is_cut_at_the_end_loses_no_outputs(slow_logs: Collecting) -> None:
    world = slow_logs
    job = ended_on_the_node(world, MAKES)
    world.wait(120.0)  # long after its log was given up
    assert world.snapshot.jobs[job].live and world.collected == []
    back(world)
    world.wait(20.0)
    assert world.snapshot.jobs[job].word == "COMPLETED" and len(world.collected) == 1


def test_a_node_that_stays_away_makes_the_job_fail(slow_logs: Collecting) -> None:
    world = slow_logs
    job = ended_on_the_node(world, MAKES)
    world.wait(400.0)
    found = world.snapshot.jobs[job]
    assert found.word == "FAILED" and "outputs could not be brought home" in found.reason


def test_outputs_of_the_nodes_that_are_left_come_home(slow_logs: Collecting) -> None:
    world = slow_logs
    job = ended_on_the_node(world, JobSpec("two", "true", min_nodes=2, max_nodes=2, outputs=("results",)))
    world.nodes["n2"].powered = True
    world.wait(400.0)
    found = world.snapshot.jobs[job]
    assert world.collected == [("n2",)]
    assert found.word == "FAILED" and "n1 cannot be reached" in found.reason


def test_a_full_disk_of_the_head_is_waited_for(world: Collecting) -> None:
    world.comes = [("No space left on device", True)] * 12 + [("", False)]
    job = world.submit(MAKES)
    world.wait(20.0)
    assert world.controller is not None
    assert world.snapshot.jobs[job].live and world.controller.outputs_late(f"{job}.1") == "No space left on device"
    world.wait(3600.0, by=10.0)
    assert world.snapshot.jobs[job].word == "COMPLETED" and len(world.collected) == 13


def test_what_will_never_do_is_told_at_once(world: Collecting) -> None:
    world.comes = [("the outputs hold 99 bytes, the limit is 9", False)]
    job = world.submit(MAKES)
    world.wait(20.0)
    assert world.snapshot.jobs[job].word == "FAILED" and "the limit is 9" in world.snapshot.jobs[job].reason


def test_who_cancels_waits_for_outputs_no_more(world: Collecting) -> None:
    world.comes = [("No space left on device", True)]
    job = world.submit(MAKES)
    world.wait(20.0)
    assert world.ask(co.Cancel(ME, job)).result() == [job]
    world.wait(2.0)
    assert not world.snapshot.jobs[job].live
