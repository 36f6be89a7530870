"""Outputs come home from every node of a gang, whatever the lines do meanwhile; what they cost a job, and what not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sim_nodes import World

from beowulf.controller.inputs import LogsComplete
from beowulf.model.job import Checkpointing, Job, JobSpec, Launcher, Retry

PAIR = JobSpec("pair", "true", launcher=Launcher.TORCHRUN, min_nodes=2, max_nodes=2, outputs=("out",))
BROKEN = ("n2: the transfer broke off: closed", True)


def begun(folder: Path, spec: JobSpec = PAIR) -> tuple[World, str]:
    world = World(folder, ["n1", "n2"], 1)
    world.longest_s = 0.2
    world.head_up()
    world.step(1.0)
    return world, world.submit(spec)


def training(folder: Path) -> tuple[World, str]:
    """A job of one node that has made a checkpoint and will fail."""
    world = World(folder, ["n1"], 1, failure_rate=1.0)
    world.longest_s = 0.2
    world.head_up()
    world.step(1.0)
    job = world.submit(JobSpec("train", "true", checkpoint=Checkpointing("ckpt"), retry=Retry((), 0)))
    world.nodes["n1"].keepers[f"{job}.1"].saved_step = 7
    return world, job


def job_of(world: World, job: str) -> Job:
    return world.snapshot.jobs[job]


def cleared(world: World, job: str, patch: pytest.MonkeyPatch) -> None:
    """Its ranks have ended; the logs are not in."""
    patch.setattr(world, "copy_logs", lambda node: None)
    for _ in range(5):
        world.step(1.0)
    attempt = job_of(world, job).attempt
    assert attempt is not None and attempt.cleared and not attempt.ended_at and world.brought == []


def logs_are_in(world: World, job: str) -> None:
    assert world.controller is not None
    told, world.inbox = world.inbox, []
    world.controller.turn([*told, *(LogsComplete(f"{job}.1", name) for name in world.nodes)])


def pass_time(world: World, seconds: int) -> None:
    for _ in range(seconds):
        world.step(1.0)


def test_a_node_that_is_away_for_a_moment_has_outputs_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world, job = begun(tmp_path)
    with monkeypatch.context() as patch:
        cleared(world, job, patch)
        world.unlink("n2")
        logs_are_in(world, job)
    assert world.brought == [] and job_of(world, job).live
    pass_time(world, 5)
    assert world.brought == [("n2", "n1")] and job_of(world, job).word == "COMPLETED"


def test_a_line_that_breaks_under_them_is_tried_again(tmp_path: Path) -> None:
    world, job = begun(tmp_path)
    world.bringing_errors = [BROKEN, BROKEN]
    pass_time(world, 30)
    assert world.brought == [("n2", "n1")] * 3 and job_of(world, job).word == "COMPLETED"


@pytest.mark.parametrize(("errors", "tries"), [([BROKEN] * 9, 5), ([("n2: more than is taken", False)], 1)])
def test_what_does_not_come_fails_the_job(tmp_path: Path, errors: list[tuple[str, bool]], tries: int) -> None:
    world, job = begun(tmp_path)
    world.bringing_errors = errors
    pass_time(world, 60)
    ended = job_of(world, job)
    assert (ended.word, len(world.brought)) == ("FAILED", tries)
    assert ended.reason.startswith("the outputs could not be brought home: n2: ")


def test_a_node_that_is_gone_with_them_is_a_lost_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world, job = begun(tmp_path)
    with monkeypatch.context() as patch:
        cleared(world, job, patch)
        world.power_off("n2")
        pass_time(world, 60)
        logs_are_in(world, job)
    pass_time(world, 2)
    lost = job_of(world, job)
    assert world.brought == [("n1",)] and lost.attempts[0].ending == "NODE_FAIL"
    assert lost.attempts[0].reason == "n2 is gone, and its outputs with it"
    assert lost.word == "PENDING" and lost.retries == 1  # run again, as after any lost node
    world.nodes["n2"].powered = True
    pass_time(world, 30)
    assert job_of(world, job).word == "COMPLETED"


@pytest.mark.parametrize(("errors", "kept"), [(0, True), (2, True), (3, False)])
def test_the_last_checkpoint_is_asked_for_again(tmp_path: Path, errors: int, kept: bool) -> None:
    world, job = training(tmp_path)
    world.survey_errors = ["n1: the transfer broke off: closed"] * errors
    pass_time(world, 30)
    ended = job_of(world, job)
    assert ended.word == "FAILED" and world.surveys == min(errors + 1, 3)
    assert (ended.checkpoint is not None and ended.checkpoint.step == 7) is kept


def test_the_last_checkpoint_of_a_node_that_is_away_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, job = training(tmp_path)
    with monkeypatch.context() as patch:
        cleared(world, job, patch)
        world.unlink("n1")
        logs_are_in(world, job)
    assert job_of(world, job).live and world.surveys == 0
    pass_time(world, 5)
    kept = job_of(world, job).checkpoint
    assert kept is not None and kept.step == 7


@pytest.mark.parametrize(("broken", "word"), [(True, "NODE_FAIL"), (False, "FAILED")])
def test_a_line_that_breaks_on_the_way_there_is_no_fault_of_the_jobs(tmp_path: Path, broken: bool, word: str) -> None:
    world, _ = begun(tmp_path)
    world.missing_rate = 1.0
    world.staging_errors["n1"], world.staging_breaks = "n1: the transfer broke off: closed", broken
    job = world.submit(replace(PAIR, retry=Retry(("node_fail",), 1)))
    pass_time(world, 30)
    ended = job_of(world, job)
    assert ended.word == word and len(ended.attempts) == 1 + broken
