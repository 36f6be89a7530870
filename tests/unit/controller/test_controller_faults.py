"""The real controller, scheduler and store over simulated nodes, with everything that can break breaking.

Each seed is one history of submits, lost links, power cuts and killed heads. After every step: no job is lost (I1),
only whole gangs run and only current attempts (I2, I3), no thread serves two attempts (I4), every state change has its
event (I8); at the end nothing runs any more (I6) and every job has ended.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from sim_nodes import ME, World

from beowulf.controller import commands as co
from beowulf.controller.policy import Policy
from beowulf.controller.verdict import judge_exits
from beowulf.model.allocation import Allocation
from beowulf.model.apply import apply
from beowulf.model.event import NodeUp
from beowulf.model.job import (
    Attempt,
    Dependency,
    JobSpec,
    JobState,
    Launcher,
    RankExit,
    Resources,
    Result,
    Retry,
    ShareState,
)
from beowulf.model.snapshot import Snapshot, without_old

NAMES = ("n1", "n2", "n3", "n4")
SPECS = (
    JobSpec("one", "true"),
    JobSpec("fat", "true", resources=Resources(cpus=2)),
    JobSpec("gang", "true", launcher=Launcher.TORCHRUN, min_nodes=3, max_nodes=3),
    JobSpec("pair", "true", launcher=Launcher.TORCHRUN, min_nodes=2, max_nodes=4, procs_per_node=2),
    JobSpec("stubborn", "true", min_nodes=2, max_nodes=2, retry=Retry(("node_fail", "error"), 5)),
    JobSpec("setup", "true", min_nodes=2, max_nodes=2, max_duration_s=5.0),
)


def check(world: World, accepted: set[str]) -> None:
    snapshot = world.snapshot
    assert accepted <= set(snapshot.jobs)  # I1
    threads: set[tuple[str, int]] = set()
    for node, shares in snapshot.held.items():
        for share in shares.values():
            for cpu in share.cpus:
                assert (node, cpu) not in threads  # I4
                threads.add((node, cpu))
    for tag, nodes in world.running.items():
        for node in nodes:
            assert tag in snapshot.held.get(node, {}), f"{tag} runs on {node}, whose threads are free"  # I2, I4


def replayed(world: World) -> Snapshot:
    assert world.store is not None
    snapshot = Snapshot()
    for stored in world.store.events(0, 1_000_000):
        snapshot = apply(snapshot, stored.event)
    return snapshot


def history(folder: Path, seed: int) -> World:
    world = World(folder, NAMES, seed, failure_rate=0.1)
    chance = random.Random(seed)
    world.head_up()
    accepted: set[str] = set()
    for _ in range(120):
        fault = chance.random()
        if fault < 0.25 and len(accepted) < 25:
            array = (1, 2, 3) if chance.random() < 0.2 else ()
            number = world.submit(chance.choice(SPECS), array)
            accepted |= {f"{number}_{index}" for index in array} or {number}
        elif fault < 0.35:
            world.unlink(chance.choice(NAMES))
        elif fault < 0.40:
            world.power_off(chance.choice(NAMES))
        elif fault < 0.50:
            for node in world.nodes.values():
                node.powered = True
        elif fault < 0.60:
            world.head_killed()
            world.step(chance.choice([0.0, 5.0, 40.0]))
            world.head_up()
        elif fault < 0.65 and accepted:
            job = world.snapshot.jobs[chance.choice(sorted(accepted))]
            if job.live:
                world.ask(co.Cancel(ME, job.id)).result()
        world.step(chance.choice([0.01, 0.5, 3.0]))
        check(world, accepted)
    for node in world.nodes.values():
        node.powered = True
    for _ in range(400):
        for name in NAMES:
            if world.snapshot.nodes[name].drained:
                world.ask(co.ResumeNode(ME, name)).result()
        world.step(3.0)
        check(world, accepted)
        if all(not job.live for job in world.snapshot.jobs.values()):
            break
    return world


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12, 300))
def test_every_job_ends_once_whatever_breaks_in_many_histories(tmp_path: Path, seed: int) -> None:
    test_every_job_ends_once_whatever_breaks(tmp_path, seed)


@pytest.mark.parametrize("seed", range(12))
def test_every_job_ends_once_whatever_breaks(tmp_path: Path, seed: int) -> None:
    world = history(tmp_path, seed)
    live = {job.id: (job.word, job.reason, job.attempt) for job in world.snapshot.jobs.values() if job.live}
    assert not live
    assert not any(world.running.values())  # I6
    assert not any(world.snapshot.held.values())
    from_events = replayed(world)
    assert from_events.jobs == world.snapshot.jobs  # I8
    assert all(
        attempt.number == place for job in from_events.jobs.values() for place, attempt in enumerate(job.attempts, 1)
    )


def up(world: World) -> None:
    world.head_up()
    world.step(0.1)
    assert all(node.facts.cpus == (0, 1) for node in world.snapshot.nodes.values())


def test_a_gang_runs_and_completes(tmp_path: Path) -> None:
    world = World(tmp_path, NAMES, 1)
    up(world)
    job = world.submit(SPECS[2])
    world.step(0.01)
    assert world.snapshot.jobs[job].state is JobState.RUNNING
    assert len(world.running[f"{job}.1"]) == 3
    for _ in range(10):
        world.step(3.0)
    assert world.snapshot.jobs[job].result is Result.COMPLETED


def test_the_same_key_is_the_same_job(tmp_path: Path) -> None:
    world = World(tmp_path, NAMES, 1)
    up(world)
    first = world.submit(SPECS[0], key="k")
    world.head_killed()
    world.head_up()
    assert world.submit(SPECS[0], key="k") == first
    other = world.ask(co.Submit(ME, SPECS[0], (), "k", "another body"))
    assert "was used for another request" in str(other.exception())


def test_a_lost_node_ends_the_gang_and_the_job_is_tried_again(tmp_path: Path) -> None:
    world = World(tmp_path, NAMES, 3)
    up(world)
    job = world.submit(SPECS[2])
    world.step(0.01)
    lost = sorted(world.running[f"{job}.1"])[1]
    world.power_off(lost)
    for _ in range(20):
        world.step(3.0)
    attempts = world.snapshot.jobs[job].attempts
    assert attempts[0].ending is Result.NODE_FAIL
    assert lost in attempts[0].reason
    assert len(attempts) == 2
    assert lost not in attempts[1].allocation.nodes


def test_a_gang_is_not_complete_while_nobody_knows_how_a_lost_nodes_ranks_ended(tmp_path: Path) -> None:
    world = World(tmp_path, NAMES, 1)
    up(world)
    job = world.submit(SPECS[2])
    world.step(0.01)
    nodes = sorted(world.running[f"{job}.1"])
    world.power_off(nodes[1])
    world.now += world.controller._policy.node_fail_after_s  # type: ignore[union-attr]
    for node in world.nodes.values():  # the others' ends and the loss are heard of in one turn
        for keeper in node.keepers.values():
            keeper.ends_at = world.now
    world.following = {(f"{job}.1", name) for name in nodes}
    world.safe = set(world.following)
    for _ in range(5):
        world.step(5.0)
    assert world.snapshot.jobs[job].attempts[0].ending is Result.NODE_FAIL


def test_only_the_owner_or_an_admin_cancels(tmp_path: Path) -> None:
    world = World(tmp_path, NAMES, 1)
    up(world)
    job = world.submit(SPECS[0])
    stranger = co.Caller("eve", 1001, False)
    assert "belongs to me" in str(world.ask(co.Cancel(stranger, job)).exception())
    assert "only an admin" in str(world.ask(co.DrainNode(stranger, "n1", "x")).exception())


def test_a_dependency_that_cannot_be_met_ends_the_job(tmp_path: Path) -> None:
    world = World(tmp_path, NAMES, 1, failure_rate=1.0)
    up(world)
    first = world.submit(JobSpec("a", "false"))
    second = world.submit(JobSpec("b", "true", dependencies=(Dependency("afterok", first),)))
    for _ in range(10):
        world.step(3.0)
    assert world.snapshot.jobs[first].result is Result.FAILED
    assert world.snapshot.jobs[second].result is Result.CANCELLED


def test_a_flapping_node_is_quarantined(tmp_path: Path) -> None:
    world = World(tmp_path, NAMES, 1)
    up(world)
    for _ in range(4):
        world.unlink("n2")
        world.step(1.0)
        world.step(1.0)
    assert world.snapshot.nodes["n2"].drained
    assert "4 failures" in world.snapshot.nodes["n2"].draining_reason


def test_a_frame_that_makes_no_sense_is_dropped(tmp_path: Path) -> None:
    world = World(tmp_path, NAMES, 1)
    up(world)
    for frame in (
        {"type": "cleared"},
        {"type": "exited", "attempt": 3},
        {"type": "x"},
        {"type": "prepared", "attempt": "?"},
    ):
        world.nodes["n1"].say(str(frame["type"]), **{k: v for k, v in frame.items() if k != "type"})
    world.step(0.1)
    assert any(isinstance(stored.event, NodeUp) for stored in world.store.events(0, 100)) if world.store else False
    assert world.submit(SPECS[0])


def test_the_killed_rank_is_named_though_its_peer_was_heard_first() -> None:
    shares = {"n1": ShareState.RUNNING, "n2": ShareState.RUNNING}
    exits = (
        RankExit("0", "n1", 14, 0, at=10.0),
        RankExit("1", "n2", 137, 9, at=10.2),
        RankExit("2", "n1", 143, 15, at=10.3),
    )
    attempt = Attempt(1, Allocation(()), 0.0, shares, exits=exits)
    assert judge_exits(attempt).reason == "rank 1 on n2 was ended by signal 9 (SIGKILL)"
    late = Attempt(1, Allocation(()), 0.0, shares, exits=(exits[0], RankExit("1", "n2", 137, 9, at=20.0)))
    assert judge_exits(late).reason == "rank 0 on n1 ended with exit code 14"


@pytest.mark.parametrize(
    ("node", "signal", "at", "named"),
    [
        ("n2", 9, 14.9, "rank 1 on n2 was ended by signal 9 (SIGKILL)"),  # news of a node that was busy
        ("n2", 9, 15.1, "rank 0 on n1 ended with exit code 14"),  # by the teardown, after its grace
        ("n2", 6, 14.9, "rank 0 on n1 ended with exit code 14"),  # it gave up on the lost connection
        ("n1", 9, 14.9, "rank 0 on n1 ended with exit code 14"),  # news of one node come in order
    ],
)
def test_who_was_killed_before_the_teardown_killed_anybody_is_named(
    node: str, signal: int, at: float, named: str
) -> None:
    shares = {"n1": ShareState.RUNNING, "n2": ShareState.RUNNING}
    exits = (RankExit("0", "n1", 14, 0, at=10.0), RankExit("1", node, 128 + signal, signal, at=at))
    assert judge_exits(Attempt(1, Allocation(()), 0.0, shares, exits=exits), 5.0).reason == named


def test_leases_of_what_runs_are_renewed(tmp_path: Path) -> None:
    world = World(tmp_path, NAMES, 1)
    up(world)
    job = world.submit(SPECS[2])
    world.step(0.01)
    assert len(world.running[f"{job}.1"]) == 3
    for name in world.running[f"{job}.1"]:
        world.nodes[name].keepers[f"{job}.1"].ends_at = 1e9
    world.step(Policy().lease_s / 4 + 1)
    assert {world.nodes[name].renewed[f"{job}.1"] for name in world.running[f"{job}.1"]} == {Policy().lease_s}


def test_old_ended_jobs_leave_the_memory_but_not_those_somebody_waits_for(tmp_path: Path) -> None:
    world = World(tmp_path, NAMES, 1)
    up(world)
    jobs = [world.submit(SPECS[0]) for _ in range(6)]
    for _ in range(10):
        world.step(3.0)
    for name in NAMES:
        world.ask(co.DrainNode(ME, name, "x")).result()
    waiting = world.submit(JobSpec("b", "true", dependencies=(Dependency("afterok", jobs[0]),)))
    left = without_old(world.snapshot, 2)
    assert set(left.jobs) == {
        jobs[0],
        *sorted(jobs[1:], key=lambda job: world.snapshot.jobs[job].ended_at)[-2:],
        waiting,
    }
