"""The head's disk is full while a node comes back that has lost the rest of a log (F22)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sim_nodes import World

from beowulf.controller.rented import Call, CreateMachine, DestroyMachine, Rented
from beowulf.model.job import JobSpec, ShareState
from beowulf.store import StoreError


def test_a_job_whose_log_is_lost_ends_though_the_first_commit_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, ["n1"], 1)
    monkeypatch.setattr(world, "copy_logs", lambda node: None)
    world.longest_s = 0.2
    world.head_up()
    world.step(1.0)
    job = world.submit(JobSpec("one", "true"))
    for _ in range(5):
        world.step(1.0)
    attempt = world.snapshot.jobs[job].attempt
    assert attempt is not None and attempt.shares == {"n1": ShareState.CLEARED} and not attempt.ended_at
    world.power_off("n1")
    world.step(0.1)
    assert world.store is not None

    def full(*_: Any) -> int:
        raise StoreError("the disk is full")

    world.nodes["n1"].powered = True
    with monkeypatch.context() as patch:
        patch.setattr(world.store, "commit", full)
        world.step(0.1)
    for _ in range(5):
        world.step(1.0)
    assert world.snapshot.jobs[job].word == "COMPLETED"


def test_a_call_about_a_machine_that_was_forgotten_in_the_same_turn_stops_nothing() -> None:
    """The list showed that it is gone, and the commit of that failed: the next turn comes to it anew."""
    rented = Rented()
    rented.creates["aws-1"] = rented.destroys["i-1"] = Call(going=True)
    for gone in (False, True):
        rented.take_back(CreateMachine("aws-1"))
        rented.take_back(DestroyMachine("aws", "i-1"))
        assert gone or not (rented.creates["aws-1"].going or rented.destroys["i-1"].going)
        rented.forget("aws-1", "i-1")
