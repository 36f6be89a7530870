"""Jobs that go on from their checkpoint: on what is left, on what comes free, and with less when others wait."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from sim_nodes import ME, SimNode, World

from beowulf.controller import commands as co
from beowulf.controller.policy import Policy
from beowulf.model.apply import apply
from beowulf.model.event import AttemptEnded, AttemptEnding, CheckpointKept
from beowulf.model.job import Checkpointing, Job, JobSpec, JobState, Launcher, Resources, Result, Retry
from beowulf.model.snapshot import Snapshot

NAMES = ("n1", "n2", "n3", "n4")
ELASTIC = JobSpec(
    "elastic",
    "true",
    launcher=Launcher.TORCHRUN,
    min_nodes=2,
    max_nodes=4,
    resources=Resources(cpus=2),
    checkpoint=Checkpointing("ckpt"),
    on_rank_loss="shrink",
    retry=Retry(("node_fail",), 2),
)
ONE = JobSpec("one", "true", resources=Resources(cpus=2))
PAIR = JobSpec("pair", "true", min_nodes=2, max_nodes=2, resources=Resources(cpus=2))


def up(folder: Path, names: tuple[str, ...] = NAMES, seed: int = 1) -> World:
    world = World(folder, names, seed)
    world.policy = Policy(resize_every_s=20.0, checkpoint_every_s=5.0)
    world.longest_s = 1e6
    world.head_up()
    world.step(0.1)
    return world


def job_of(world: World, job: str) -> Job:
    return world.snapshot.jobs[job]


def running(world: World, job: str) -> None:
    world.step(0.01)
    assert job_of(world, job).state is JobState.RUNNING
    for node in world.nodes.values():
        for tag, keeper in node.keepers.items():
            if tag.startswith(f"{job}."):
                keeper.ends_at = 1e9


def pass_time(world: World, seconds: float, pace: float = 1.0) -> None:
    for _ in range(int(seconds / pace)):
        world.step(pace)
        for node in world.nodes.values():
            for keeper in node.keepers.values():
                if keeper.phase == "running" and not keeper.killed and keeper.code == 0:
                    keeper.ends_at = max(keeper.ends_at, 1e8)


def rank_dies(node: SimNode, tag: str) -> None:
    keeper = node.keepers[tag]
    keeper.ends_at, keeper.code = node.world.now, 137


def sizes(world: World, job: str) -> list[int]:
    return [len(attempt.allocation.nodes) for attempt in job_of(world, job).attempts]


def test_survivors_go_on_at_once_from_the_last_step_and_the_node_is_taken_back_in(tmp_path: Path) -> None:
    world = up(tmp_path)
    job = world.submit(ELASTIC)
    running(world, job)
    pass_time(world, 10)
    world.power_off("n1")  # rank 0's
    pass_time(world, 30)
    assert sizes(world, job) == [4, 3]
    first, second = job_of(world, job).attempts
    assert first.ending is Result.NODE_FAIL and "n1" in first.reason
    assert second.from_step >= 10, "the survivors' own last step"
    assert second.allocation.nodes == ("n2", "n3", "n4")
    assert job_of(world, job).retries == 0
    assert job_of(world, job).reason == f"goes on from the checkpoint of step {second.from_step}"
    world.nodes["n1"].powered = True
    pass_time(world, 30)
    assert sizes(world, job) == [4, 3, 4]
    resized, now = job_of(world, job).attempts[1:]
    assert (resized.ending, resized.reason) == (Result.RESIZED, "resized from 3 nodes to 4: n1 can be had")
    assert now.from_step >= second.from_step + 10
    assert job_of(world, job).retries == 0
    for node in world.nodes.values():
        node.keepers[f"{job}.3"].ends_at = world.now
    for _ in range(10):
        world.step(1.0)
    assert job_of(world, job).result is Result.COMPLETED


def test_a_rank_that_is_lost_without_progress_counts(tmp_path: Path) -> None:
    world = up(tmp_path)
    job = world.submit(ELASTIC)
    running(world, job)
    pass_time(world, 5)
    for number in (1, 2, 3, 4):  # the first loss comes after five steps, the others at once
        rank_dies(world.nodes["n2"], f"{job}.{number}")
        for _ in range(40):
            world.step(0.2)
            if f"{job}.{number + 1}" in world.running:
                break
    for _ in range(10):
        world.step(1.0)
    assert job_of(world, job).result is Result.FAILED
    assert [attempt.from_step for attempt in job_of(world, job).attempts] == [0, 5, 5, 5]
    assert job_of(world, job).retries == 2
    assert "rank 1 on n2 ended with exit code 137" in job_of(world, job).reason


def test_a_job_that_lost_a_rank_goes_before_others_of_its_priority(tmp_path: Path) -> None:
    world = up(tmp_path)
    job = world.submit(replace(ELASTIC, max_nodes=3))
    running(world, job)
    first = world.submit(PAIR)
    pass_time(world, 5)
    assert job_of(world, first).state is JobState.PENDING
    rank_dies(world.nodes["n1"], f"{job}.1")
    pass_time(world, 8)
    assert job_of(world, job).state is JobState.RUNNING
    assert job_of(world, first).state is JobState.PENDING


def test_nodes_that_somebody_waits_for_are_not_taken(tmp_path: Path) -> None:
    world = up(tmp_path)
    world.ask(co.DrainNode(ME, "n3", "x")).result()
    running(world, world.submit(replace(ONE, nodelist=("n4",))))
    job = world.submit(replace(ELASTIC, priority=5))
    running(world, job)
    world.ask(co.ResumeNode(ME, "n3")).result()
    waits = world.submit(replace(PAIR, nodelist=("n3", "n4")))
    pass_time(world, 60)
    assert sizes(world, job) == [2]
    world.ask(co.Cancel(ME, waits)).result()
    pass_time(world, 10)
    assert sizes(world, job) == [2, 3]


def test_a_job_that_takes_no_checkpoint_when_asked_is_left_alone(tmp_path: Path) -> None:
    world = up(tmp_path)
    world.makes_checkpoints = False
    world.ask(co.DrainNode(ME, "n4", "x")).result()
    job = world.submit(ELASTIC)
    running(world, job)
    world.ask(co.ResumeNode(ME, "n4")).result()
    pass_time(world, 100)
    assert sizes(world, job) == [3]


def test_nodes_are_given_back_when_others_wait_and_nothing_thrashes(tmp_path: Path) -> None:
    world = up(tmp_path)
    job = world.submit(ELASTIC)
    running(world, job)
    pass_time(world, 30)
    waits = world.submit(ONE)
    pass_time(world, 10)
    assert sizes(world, job) == [4, 3]
    assert job_of(world, job).attempts[0].reason == f"resized from 4 nodes to 3: job {waits} waits for nodes"
    assert job_of(world, waits).state is JobState.RUNNING
    world.submit(ONE)
    pass_time(world, 8)
    assert sizes(world, job) == [4, 3], "it was resized a moment ago"


def test_a_single_node_job_outlives_its_node(tmp_path: Path) -> None:
    world = up(tmp_path, ("n1", "n2"))
    job = world.submit(replace(ELASTIC, min_nodes=1, max_nodes=1, nodelist=("n1",)))
    running(world, job)
    pass_time(world, 6)
    world.nodes["n1"].on_signal({"attempt": f"{job}.1"})  # it makes one by itself
    pass_time(world, 20)
    kept = job_of(world, job).checkpoint
    assert kept is not None and kept.step == 6 and kept.node == "n1"
    for _ in range(20):  # told of every second, brought every five
        world.nodes["n1"].on_signal({"attempt": f"{job}.1"})
        pass_time(world, 1)
    world.power_off("n1")
    pass_time(world, 15)
    world.nodes["n1"].powered = True
    for _ in range(700):
        world.step(1.0)
        if len(sizes(world, job)) == 2:
            break
    assert job_of(world, job).attempts[1].from_step >= 20
    assert world.store is not None
    brought = [stored for stored in world.store.events(0, 10_000) if isinstance(stored.event, CheckpointKept)]
    assert 3 <= len(brought) <= 6


def test_a_late_checkpoint_of_an_older_attempt_changes_nothing(tmp_path: Path) -> None:
    world = up(tmp_path)
    job = world.submit(ELASTIC)
    running(world, job)
    pass_time(world, 5)
    rank_dies(world.nodes["n3"], f"{job}.1")
    pass_time(world, 10)
    before = job_of(world, job)
    from beowulf.controller.draft import Checkpointed
    from beowulf.model.job import Tree

    world.inbox.append(Checkpointed(f"{job}.1", False, "n1", 10**6, Tree("step-1000000", 1, 1, "n1")))
    world.step(0.1)
    assert job_of(world, job).checkpoint == before.checkpoint


def test_a_job_that_is_cancelled_while_it_is_resized_is_cancelled(tmp_path: Path) -> None:
    world = up(tmp_path)
    world.ask(co.DrainNode(ME, "n4", "x")).result()
    job = world.submit(ELASTIC)
    running(world, job)
    world.ask(co.ResumeNode(ME, "n4")).result()
    while job_of(world, job).state is JobState.RUNNING:
        world.step(0.5)
    assert job_of(world, job).attempts[0].ending is Result.RESIZED
    world.ask(co.Cancel(ME, job)).result()
    pass_time(world, 10)
    assert job_of(world, job).result is Result.CANCELLED


def history(folder: Path, seed: int) -> World:
    """Elastic jobs among others, while nodes come and go and the head is killed, also in the middle of a resize."""
    world = World(folder, NAMES, seed, failure_rate=0.05)
    world.policy = Policy(resize_every_s=4.0, checkpoint_every_s=3.0)
    world.longest_s = 60.0
    world.head_up()
    chance = random.Random(seed)
    for _ in range(150):
        fault = chance.random()
        if fault < 0.15 and len(world.snapshot.jobs) < 12:
            world.submit(chance.choice((ELASTIC, replace(ELASTIC, min_nodes=1), ONE, PAIR)))
        elif fault < 0.20:
            world.power_off(chance.choice(NAMES))
        elif fault < 0.35:
            for node in world.nodes.values():
                node.powered = True
        elif fault < 0.50:
            world.head_killed()
            world.step(chance.choice([0.0, 2.0]))
            world.head_up()
        world.step(chance.choice([0.01, 0.5, 3.0]))
        for tag, nodes in world.running.items():
            assert all(tag in world.snapshot.held.get(node, {}) for node in nodes)  # I2, I4
    for node in world.nodes.values():
        node.powered = True
    for _ in range(600):
        for name in NAMES:
            if world.snapshot.nodes[name].drained:
                world.ask(co.ResumeNode(ME, name)).result()
        world.step(3.0)
        if all(not job.live for job in world.snapshot.jobs.values()):
            break
    return world


@pytest.mark.parametrize("seed", range(8))
def test_steps_are_never_lost_whatever_breaks(tmp_path: Path, seed: int) -> None:
    world = history(tmp_path, seed)
    assert not [(job.id, job.word, job.reason) for job in world.snapshot.jobs.values() if job.live]
    assert not any(world.running.values())  # I6
    assert world.store is not None
    snapshot, resized = Snapshot(), 0
    for stored in world.store.events(0, 1_000_000):
        event = stored.event
        if isinstance(event, CheckpointKept):
            kept = snapshot.jobs[event.job_id].checkpoint
            assert kept is None or event.step > kept.step, "an older checkpoint replaced a newer one"
        if isinstance(event, AttemptEnding) and event.resize_to:
            resized += 1
        if isinstance(event, AttemptEnded) and event.result is Result.RESIZED and event.requeue:
            assert event.most_nodes and not event.counted
        snapshot = apply(snapshot, event)
    assert snapshot.jobs == world.snapshot.jobs  # I8
    for job in snapshot.jobs.values():
        steps = [attempt.from_step for attempt in job.attempts]
        assert steps == sorted(steps), "an attempt began before where its forerunner had begun"
    assert resized or seed not in (0, 1), "histories without a resize prove little"


def test_a_resize_to_a_node_that_cannot_run_the_job_does_not_end_it(tmp_path: Path) -> None:
    world = up(tmp_path)
    world.ask(co.DrainNode(ME, "n4", "x")).result()
    job = world.submit(replace(ELASTIC, on_rank_loss="fail"))
    running(world, job)
    world.nodes["n4"].on_prepare = lambda header: world.nodes["n4"].say(  # type: ignore[method-assign]
        "missing", attempt=header["attempt"], trees=[], env=False, error="no space left on device"
    )
    world.ask(co.ResumeNode(ME, "n4")).result()
    pass_time(world, 200)
    assert sizes(world, job) == [3, 4, 3, 4, 3, 4, 3], "ever more rarely: after 20, 40 and 80 seconds"
    assert job_of(world, job).attempts[1].reason == "n4: no space left on device"
    assert job_of(world, job).state is JobState.RUNNING and job_of(world, job).retries == 0
