"""What a head that is killed at a bad moment must still know when it comes back."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sim_nodes import ME, SimNode, World

from beowulf.controller import commands as co
from beowulf.controller.policy import Policy
from beowulf.model.job import Environment, JobSpec, JobState, Launcher, Result
from beowulf.store import StoreError

NAMES = ("n1", "n2", "n3", "n4")
OPEN_MPI = Environment(venv="/opt/mpi")
GANG = JobSpec("gang", "true", launcher=Launcher.TORCHRUN, min_nodes=3, max_nodes=3, setup="true")


@pytest.mark.parametrize("seed", range(10))
def test_no_log_byte_is_lost_over_killed_heads(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, NAMES, seed, failure_rate=0.2)
    world.head_up()
    world.step(0.1)
    for _ in range(60):
        if len(world.snapshot.jobs) < 12 and world.random.random() < 0.4:
            world.submit(world.random.choice([GANG, JobSpec("one", "true"), JobSpec("pair", "true", min_nodes=2)]))
        if world.random.random() < 0.4:
            world.head_killed()
            world.step(world.random.choice([0.0, 2.0, 15.0]))
            world.head_up()
        for name in world.random.sample(NAMES, 2):  # the others are linked a step later
            world.nodes[name].powered = False
        world.step(0.05)
        for node in world.nodes.values():
            node.powered = True
        world.step(world.random.choice([0.05, 1.0]))
    for _ in range(100):
        world.step(1.0)
    assert not [job.id for job in world.snapshot.jobs.values() if job.live]
    assert not world.lost_logs
    results = {job.result for job in world.snapshot.jobs.values()}
    assert results <= {Result.COMPLETED, Result.FAILED}


def silence(node: SimNode, kind: str) -> None:
    """The next frame of this kind does not get through."""
    say = node.say

    def once(what: str, **fields: object) -> None:
        if what == kind:
            node.say = say  # type: ignore[method-assign]
        else:
            say(what, **fields)

    node.say = once  # type: ignore[method-assign]


def test_the_go_that_only_some_got_is_given_to_the_others(tmp_path: Path) -> None:
    world = World(tmp_path, NAMES, 1)
    world.head_up()
    world.step(0.1)
    deaf = world.nodes["n1"]
    hear = deaf.hear
    deaf.hear = lambda header: None if header["type"] == "go" else hear(header)  # type: ignore[method-assign]
    for name in ("n2", "n3"):
        silence(world.nodes[name], "running")
    job = world.submit(GANG)
    world.step(0.01)
    assert world.snapshot.jobs[job].state is JobState.CONFIGURING
    assert sorted(world.running[f"{job}.1"]) == ["n2", "n3"]
    world.head_killed()
    deaf.hear = hear  # type: ignore[method-assign]
    world.head_up()
    world.step(0.01)  # n1 is linked first
    assert world.snapshot.jobs[job].state is JobState.RUNNING
    assert sorted(world.running[f"{job}.1"]) == ["n1", "n2", "n3"]


def test_leases_are_renewed_while_the_node_is_linked(tmp_path: Path) -> None:
    world = World(tmp_path, NAMES, 1)
    world.head_up()
    world.step(0.1)
    job = world.submit(GANG)
    world.step(0.01)
    world.unlink("n2")
    for keeper in (keeper for node in world.nodes.values() for keeper in node.keepers.values()):
        keeper.ends_at = world.now + 1e6
    lease_s = Policy().lease_s
    leases = dict.fromkeys(NAMES, world.now + lease_s)
    for name, node in world.nodes.items():

        def renewed(header: Mapping[str, Any], name: str = name) -> None:
            for tag, seconds in header["leases"].items():
                assert tag == f"{job}.1"
                leases[name] = world.now + seconds

        node.on_renew = renewed  # type: ignore[attr-defined]
    for _ in range(30):
        world.step(lease_s / 10)
        assert all(until > world.now for name, until in leases.items() if name != "n4"), "a lease ran out"
    assert world.snapshot.jobs[job].state is JobState.RUNNING
    assert leases["n4"] < world.now, "nothing runs there"


@pytest.mark.parametrize("seed", range(6))
def test_what_a_failed_commit_lost_is_done_by_the_next(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, NAMES, seed)
    world.missing_rate = 0.7
    world.head_up()
    world.step(0.1)
    assert world.store is not None
    commit = world.store.commit

    def failing(*what: Any) -> int:
        if world.random.random() < 0.5:
            raise StoreError("the disk is full")
        return commit(*what)

    world.store.commit = failing  # type: ignore[method-assign]
    accepted = []
    for _ in range(100):
        if len(accepted) < 10:
            with suppress(StoreError):
                accepted.append(world.submit(replace(GANG, outputs=("out",))))
        world.step(1.0)
    for _ in range(200):
        world.step(1.0)
    assert {job.id: job.word for job in world.snapshot.jobs.values()} == dict.fromkeys(accepted, "COMPLETED")


def test_a_node_that_knows_no_more_that_it_was_cleared_says_so_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was never started has no record of its end: after a link that died, its folder alone is there."""
    world = World(tmp_path, NAMES[:2], 1)
    world.head_up()
    world.step(0.1)
    with monkeypatch.context() as patch:
        patch.setattr(world.nodes[NAMES[1]], "hear", lambda header: None)
        job = world.submit(replace(GANG, min_nodes=2, max_nodes=2))
        world.step(1.0)
        world.ask(co.Cancel(ME, job))
        world.step(1.0)
        assert world.nodes[NAMES[0]].keepers[f"{job}.1"].phase == "cleared" and world.snapshot.jobs[job].live
        world.head_killed()
        world.nodes[NAMES[0]].keepers[f"{job}.1"].phase = "prepared"
    world.head_up()
    for _ in range(5):
        world.step(1.0)
    assert world.snapshot.jobs[job].word == "CANCELLED"


def test_a_daemon_for_a_peer_that_is_not_linked_yet_is_not_refused(tmp_path: Path) -> None:
    """After a restart of the head its links come one by one; the keeper asks again until it hears of an end."""
    world = World(tmp_path, NAMES[:2], 1)
    world.head_up()
    world.step(0.1)
    job = world.submit(JobSpec("mpi", "true", launcher=Launcher.MPI, min_nodes=2, max_nodes=2, environment=OPEN_MPI))
    world.step(0.01)
    asking, peer = (world.nodes[name] for name in NAMES[:2])
    heard: list[tuple[str, Mapping[str, Any]]] = []
    asking.on_spawned = lambda header: heard.append(("asking", header))  # type: ignore[attr-defined]
    peer.on_spawn_here = lambda header: heard.append(("peer", header))  # type: ignore[attr-defined]
    wish = {"attempt": f"{job}.1", "id": f"{job}.1#7-1", "host": "n2", "argv": ["prted"], "env": {}}
    peer.powered = False
    world.unlink("n2")
    world.step(0.01)
    asking.say("spawn", **wish)
    world.step(0.01)
    assert not heard
    peer.powered = True
    world.step(0.01)
    asking.say("spawn", **wish)
    world.step(0.01)
    assert [(who, header["id"]) for who, header in heard] == [("peer", f"n1/{job}.1#7-1"), ("asking", f"{job}.1#7-1")]
    assert heard[1][1]["ok"]
