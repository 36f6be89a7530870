"""A running job moves to a faster GPU that came free: staged there first, stopped at a checkpoint, going on from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sim_nodes import ANSWERS, ME, SimNode, World
from test_controller_elastic import job_of, running

from beowulf.controller import commands as co
from beowulf.controller.policy import Policy
from beowulf.controller.verdict import try_again
from beowulf.model.allocation import Allocation, RankSlot, Share
from beowulf.model.job import Attempt, Checkpointing, Job, JobSpec, JobState, Launcher, Resources, Result
from beowulf.model.rules import Rules

CARDS = {"n1": "Tesla P40", "n2": "NVIDIA GeForce RTX 3090"}
TOLD = {"net": {("P40", 1): 1.0, ("RTX3090", 1): 5.0}}
NET = JobSpec(
    "net",
    "true",
    launcher=Launcher.TORCHRUN,
    resources=Resources(gpus=1),
    checkpoint=Checkpointing("ckpt"),
    family="net",
    steps=100_000,
)
OTHER = JobSpec("other", "true", resources=Resources(gpus=1), nodelist=("n2",))


def with_card(node: SimNode) -> None:
    card = f"== query\n0, {CARDS[node.name]}, 22919, GPU-{node.name}, 535.1, 8.6, [N/A]\n"
    answers = {**ANSWERS, "nvidia": {"code": 0, "out": card, "err": "", "timed_out": False}}

    def on_ask(header: Mapping[str, Any]) -> None:
        node.say("answers", id=header["id"], answers=answers, time=node.world.now)

    node.on_ask = on_ask  # type: ignore[method-assign]


def on_the_slow_one(folder: Path) -> tuple[World, str]:
    """The job has run there for a while, and the fast one is free now."""
    world = World(folder, tuple(CARDS), 1)
    world.policy = Policy(resize_every_s=60.0, checkpoint_every_s=5.0, rules=Rules("easy", told=TOLD))
    world.longest_s = 1e6
    for node in world.nodes.values():
        with_card(node)
    world.head_up()
    world.step(0.1)
    busy = world.submit(OTHER)
    running(world, busy)
    job = world.submit(NET)
    running(world, job)
    assert nodes(world, job) == [("n1",)]
    train(world, job, 50)
    world.ask(co.Cancel(ME, busy)).result()
    return world, job


def train(world: World, job: str, seconds: int) -> None:
    for _ in range(seconds):
        attempt = job_of(world, job).attempt
        assert attempt is not None
        node = world.nodes[attempt.allocation.nodes[0]]
        step = attempt.from_step + int(world.now - attempt.started_at)
        keeper = node.keepers.get(f"{job}.{attempt.number}")
        if keeper is not None and keeper.phase == "running":
            keeper.reported += 1
            lines = [{"step": step}]
            node.say("report", attempt=f"{job}.{attempt.number}", rank=0, ends=[keeper.reported], lines=lines)
        world.step(1.0)


def nodes(world: World, job: str) -> list[tuple[str, ...]]:
    return [attempt.allocation.nodes for attempt in job_of(world, job).attempts]


def test_it_goes_on_there_from_its_last_step(tmp_path: Path) -> None:
    world, job = on_the_slow_one(tmp_path)
    train(world, job, 30)
    assert nodes(world, job) == [("n1",), ("n2",)]
    before, now = job_of(world, job).attempts
    assert before.ending is Result.RESIZED
    assert before.reason.startswith("moves to RTX3090 on n2: done in about 5.5")
    assert now.from_step >= 60 and job_of(world, job).retries == 0
    assert ("n2", f"{job}.1") in world.staged, "for the first attempt, before it was stopped"
    train(world, job, 300)
    assert len(nodes(world, job)) == 2


def test_what_cannot_be_staged_there_stops_nothing(tmp_path: Path) -> None:
    world, job = on_the_slow_one(tmp_path)
    world.staging_errors["n2"] = "no space left on device"
    train(world, job, 300)
    assert nodes(world, job) == [("n1",)] and job_of(world, job).state is JobState.RUNNING
    assert 2 <= world.staged.count(("n2", f"{job}.1")) <= 6, "tried again after a while each time"
    assert job_of(world, job).checkpoint is None, "nor was it asked for a checkpoint"


def test_who_does_not_come_to_run_there_goes_on_where_it_was(tmp_path: Path) -> None:
    world, job = on_the_slow_one(tmp_path)
    node = world.nodes["n2"]
    node.on_prepare = lambda header: node.say(  # type: ignore[method-assign]
        "missing", attempt=header["attempt"], trees=[], env=False, error="no space left on device"
    )
    train(world, job, 60)
    assert nodes(world, job) == [("n1",), ("n2",), ("n1",)]
    assert job_of(world, job).state is JobState.RUNNING and job_of(world, job).retries == 0
    assert job_of(world, job).attempts[2].from_step >= 60


def test_the_first_few_that_never_run_after_a_move_do_not_count() -> None:
    place = Allocation((Share("n1", (RankSlot(0, 0, (0,)),)),))
    ran = Attempt(1, place, 1.0, {}, started_at=2.0, ending=Result.RESIZED, ended_at=3.0)
    never = [Attempt(number, place, 4.0, {}, ending=Result.NODE_FAIL) for number in range(2, 6)]
    job = Job("1", 1, NET, "me", 1, 0.0, attempts=(ran, *never))
    told = [try_again(job, attempt, Result.NODE_FAIL, peers_at_fault=False) for attempt in never]
    assert [(one.requeue, one.counted) for one in told] == [(True, False)] * 3 + [(True, True)]
    given_up = replace(job, attempts=(replace(ran, started_at=0.0), *never))
    told = [try_again(given_up, attempt, Result.NODE_FAIL, peers_at_fault=False) for attempt in never]
    assert all(one.counted for one in told), "a stretch given up before it ran moved nothing"
