"""A line that breaks, or is away, on a job's way to its nodes and back costs it neither its try nor its checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
from sim_nodes import World

from beowulf.controller.draft import Action, Checkpointed, DropCheckpoint
from beowulf.controller.inputs import LogsComplete
from beowulf.model.job import Checkpointing, Job, JobSpec, Launcher, Retry, Tree

BROKEN = "n1: the transfer broke off: closed"
PAIR = JobSpec("pair", "true", launcher=Launcher.TORCHRUN, min_nodes=2, max_nodes=2, retry=Retry(("node_fail",), 1))


def up(folder: Path, *names: str, failure_rate: float = 0.0) -> World:
    world = World(folder, names, 1, failure_rate=failure_rate)
    world.longest_s = 0.2
    world.head_up()
    world.step(1.0)
    return world


def training(folder: Path) -> tuple[World, str]:
    """A job of one node that has made a checkpoint and will fail."""
    world = up(folder, "n1", failure_rate=1.0)
    job = world.submit(JobSpec("train", "true", checkpoint=Checkpointing("ckpt"), retry=Retry((), 0)))
    world.nodes["n1"].keepers[f"{job}.1"].saved_step = 7
    return world, job


def job_of(world: World, job: str) -> Job:
    return world.snapshot.jobs[job]


def pass_time(world: World, seconds: int) -> None:
    for _ in range(seconds):
        world.step(1.0)


@pytest.mark.parametrize(("errors", "kept"), [(0, True), (2, True), (3, False)])
def test_the_last_checkpoint_is_asked_for_again(tmp_path: Path, errors: int, kept: bool) -> None:
    world, job = training(tmp_path)
    world.survey_errors = [BROKEN] * errors
    pass_time(world, 30)
    ended = job_of(world, job)
    assert ended.word == "FAILED" and world.surveys == min(errors + 1, 3)
    assert (ended.checkpoint is not None and ended.checkpoint.step == 7) is kept


def test_the_last_checkpoint_of_a_node_that_is_away_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, job = training(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(world, "copy_logs", lambda node: None)
        pass_time(world, 5)
        attempt = job_of(world, job).attempt
        assert attempt is not None and attempt.cleared and not attempt.ended_at
        world.unlink("n1")
        told, world.inbox = world.inbox, []
        assert world.controller is not None
        world.controller.turn([*told, LogsComplete(f"{job}.1", "n1")])
    assert job_of(world, job).live and world.surveys == 0
    pass_time(world, 5)
    kept = job_of(world, job).checkpoint
    assert kept is not None and kept.step == 7


def test_a_checkpoint_that_comes_after_its_job_is_done_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = up(tmp_path, "n1")
    job = world.submit(JobSpec("train", "true", checkpoint=Checkpointing("ckpt")))
    pass_time(world, 10)
    assert job_of(world, job).word == "COMPLETED" and world.controller is not None
    done: list[Action] = []
    monkeypatch.setattr(world, "perform", lambda actions, snapshot: done.extend(actions))
    world.controller.turn([Checkpointed(f"{job}.1", False, "n1", 7, Tree("step-7", 10, 1, "n1"))])
    assert DropCheckpoint(job) in done
    world.head_killed()
    done.clear()
    world.head_up()  # the next head does again what this one may not have come to
    assert DropCheckpoint(job) in done


@pytest.mark.parametrize(("broken", "word"), [(True, "NODE_FAIL"), (False, "FAILED")])
def test_a_line_that_breaks_on_the_way_there_is_no_fault_of_the_jobs(tmp_path: Path, broken: bool, word: str) -> None:
    world = up(tmp_path, "n1", "n2")
    world.missing_rate = 1.0
    world.staging_errors["n1"], world.staging_breaks = BROKEN, broken
    job = world.submit(PAIR)
    pass_time(world, 30)
    ended = job_of(world, job)
    assert ended.word == word and len(ended.attempts) == 1 + broken
