"""Whatever a node, or a script on it, says: the head goes on, and what it wrote down it can read again."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from sim_nodes import ANSWERS, ME, World

from beowulf.controller import commands as co
from beowulf.controller.inputs import LogHeld
from beowulf.controller.loop import Ask
from beowulf.controller.policy import Policy
from beowulf.model.job import Checkpointing, JobSpec

HUGE = 10**400  # more than a float can be


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, ["n1", "n2"], 1)
    world.longest_s = 1e6
    world.head_up()
    world.step(1.0)
    yield world
    assert world.store is not None
    world.store.close()


def running(world: World) -> tuple[str, str]:
    """A job with a checkpoint, and the node it runs on."""
    job = world.submit(JobSpec("j", "true", checkpoint=Checkpointing("ckpt"), steps=100))
    world.step(1.0)
    attempt = world.snapshot.jobs[job].attempt
    assert attempt is not None and world.snapshot.jobs[job].word == "RUNNING"
    return job, attempt.allocation.nodes[0]


def report(lines: list[Any], rank: Any = 0) -> dict[str, Any]:
    return {"type": "report", "rank": rank, "ends": list(range(1, len(lines) + 1)), "lines": lines}


@pytest.mark.parametrize(
    "header",
    [
        report([{"step": 1}, {"step": HUGE}]),
        report([{"step": 1}], rank=HUGE),
        report([[1], "x", None]),
        {**report([{"step": 1}]), "ends": [HUGE]},
        {"type": "exited", "process": "0", "code": HUGE, "signal": HUGE, "error": ""},
        {"type": "exited", "process": "\udce9", "code": 1, "signal": 0, "error": ""},
        {"type": "start_failed", "error": "/home/j\udce9r\udcf4me: no such folder"},
        {"type": "cleared", "exits": {"a": 1}, "spool": {"0": HUGE}},
        {"type": "answers", "id": "facts", "answers": ANSWERS, "time": float("nan")},
        {"type": "answers", "id": "facts", "answers": [], "time": 1.0},
    ],
    ids=lambda header: str(header["type"]),
)
def test_the_head_goes_on_and_starts_again(world: World, header: dict[str, Any]) -> None:
    job, node = running(world)
    for _ in range(40):  # long enough for a pace to be measured
        said = {key: value for key, value in header.items() if key != "type"}
        world.nodes[node].say(header["type"], attempt=f"{job}.1", **said)
        world.step(1.0)
    world.head_killed()
    world.head_up()
    world.step(1.0)
    assert world.submit(JobSpec("next", "true")) == str(int(job) + 1)


def test_a_node_whose_folder_has_no_name_in_utf8_is_no_node(world: World) -> None:
    world.nodes["n2"].welcome = lambda: {"root": "/home/j\udce9r\udcf4me", "boot_id": "1"}  # type: ignore[method-assign]
    world.unlink("n2")
    world.step(1.0)
    world.submit(JobSpec("j", "true"))
    assert not world.snapshot.nodes["n2"].schedulable and world.snapshot.nodes["n1"].schedulable


def test_a_node_speaks_for_no_attempt_of_others(world: World) -> None:
    job, node = running(world)
    other = next(name for name in world.nodes if name != node)
    for kind in ("exited", "start_failed"):
        world.nodes[other].say(kind, attempt=f"{job}.1", process="0", code=1, signal=0, error="as I like it")
    world.step(1.0)
    assert world.snapshot.jobs[job].word == "RUNNING"
    world.nodes[node].say("exited", attempt=f"{job}.1", process="0", code=1, signal=0, error="")
    world.step(0.1)
    assert world.snapshot.jobs[job].word != "RUNNING"


def test_who_asked_and_went_away_stops_nothing(world: World) -> None:
    assert world.controller is not None
    left: Future[Any] = Future()
    assert left.cancel()
    stayed: Future[Any] = Future()
    asks = [Ask(co.Submit(ME, JobSpec(name, "true")), reply) for name, reply in (("left", left), ("stayed", stayed))]
    world.controller.turn(asks)
    assert world.snapshot.jobs[stayed.result()].spec.name == "stayed" and len(world.snapshot.jobs) == 1


def test_what_moves_all_the_time_is_no_event(world: World) -> None:
    """A year of it would fill the disk."""
    assert world.store is not None

    def tell(free_kib: int) -> int:
        memory = f"MemTotal: 1024000 kB\nMemAvailable: {free_kib} kB\n"
        answers = {**ANSWERS, "memory": {"code": 0, "out": memory, "err": "", "timed_out": False}}
        world.nodes["n1"].say("answers", id="facts", answers=answers, time=world.now)
        world.step(0.1)
        assert world.store is not None
        return world.store.last

    tell(900_000)
    told = [tell(900_000 + 3_000 * number) for number in range(10)]
    assert told[0] == told[9]
    assert tell(500_000) == told[9] + 1


def test_a_job_that_is_done_but_for_its_log_did_not_run_for_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, ["n1"], 1, policy=Policy())
    monkeypatch.setattr(world, "copy_logs", lambda node: None)
    world.longest_s = 0.2
    world.head_up()
    world.step(1.0)
    job = world.submit(JobSpec("quick", "true", max_duration_s=5.0))
    for _ in range(20):
        world.step(1.0)
    assert world.snapshot.jobs[job].live
    assert world.store is not None
    monkeypatch.undo()
    for _ in range(20):
        world.step(1.0)
    assert world.snapshot.jobs[job].word == "COMPLETED"
    world.store.close()


def test_an_order_too_long_for_a_frame_ends_its_job_and_not_the_head(world: World) -> None:
    job = world.submit(JobSpec("long", "x" * (1 << 20)))
    for _ in range(3):
        world.step(1.0)
    found = world.snapshot.jobs[job]
    assert found.word == "FAILED" and "MiB" in found.reason and "file" in found.reason
    next_job = world.submit(JobSpec("short", "true"))
    world.step(1.0)
    assert world.snapshot.jobs[next_job].word == "RUNNING"


def test_nothing_is_remembered_of_a_node_that_was_removed(world: World) -> None:
    """Rented machines have names of their own: a year's would add up."""
    assert world.controller is not None
    world.unlink("n2")
    world.step(1.0)
    assert world.ask(co.RemoveNode(ME, "n2")).result() == "n2"
    volatile = world.controller._volatile
    by_node = (volatile.down_since, volatile.failures, volatile.pythons, volatile.asked, volatile.looked, volatile.seen)
    assert all("n1" in known or not known for known in by_node) and not any("n2" in known for known in by_node)


def test_a_log_that_the_head_had_no_room_for_is_asked_for_again_while_the_job_runs(world: World) -> None:
    """A disk that was full for a moment must not end the view of a job that runs for weeks."""
    job, node = running(world)
    world.following.clear()
    world.inbox.append(LogHeld(f"{job}.1", node))
    world.step(1.0)
    assert world.following == set()
    world.step(2.0)
    assert world.following == {(f"{job}.1", node)}
    world.following.clear()
    world.step(10.0)
    assert world.following == set()
