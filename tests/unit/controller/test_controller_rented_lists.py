"""Lists of rented machines: when they are asked for, and what of machines is left in them."""

from __future__ import annotations

from typing import Any

import pytest
from test_controller_rented_faults import ME, Make, done, go, machines, make, of, submit

from beowulf.controller import commands as co
from beowulf.controller.rented import ListMachines
from beowulf.model import rented
from beowulf.model.errors import Unclear

__all__ = ["make"]


def test_a_throttled_call_is_not_made_again_before_the_provider_said(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make()
    create, calls = world.cloud.create, []

    def throttled_at_first(request: Any) -> Any:
        calls.append(world.now)
        if len(calls) == 1:
            raise Unclear("429:\nslow down", hint="ask for more", after_s=120.0)
        return create(request)

    monkeypatch.setattr(world.cloud, "create", throttled_at_first)
    job = submit(world)
    go(world, lambda: done(world, job))
    assert len(calls) == 2 and calls[1] - calls[0] >= 120.0
    assert [event.reason for event in of(world, rented.MachineTrouble)] == ["429: slow down (ask for more)"]


def test_disks_that_machines_left_are_deleted_and_told_of(make: Make) -> None:
    world = make()
    for _ in range(4):
        submit(world)
        go(world, lambda: machines(world) and not any(one.live for one in machines(world)), 2000.0)
    assert len(world.cloud.instances) >= 3
    go(world, lambda: not world.cloud.disks, 30.0)
    [left] = of(world, rented.OrphanFound)
    assert left.instance_id == "disk-3" and left.machine == "sim-3"
    assert world.controller is not None and world.controller.orphans.total() == 0


def test_gc_has_a_list_that_began_after_it_was_asked_for(make: Make) -> None:
    """One that was on its way already may have missed what was launched meanwhile."""
    world = make()
    go(world, lambda: any(isinstance(call.action, ListMachines) for call in world.calls))
    [on_its_way] = [call.began for call in world.calls if isinstance(call.action, ListMachines)]
    world.step(1.0)
    asked = world.ask(co.CollectMachines(ME)).result()
    began: list[float] = []

    def heard() -> bool:
        assert world.controller is not None
        began.append(world.controller.listings()["sim"].began)
        return began[-1] >= asked

    go(world, heard, 40.0)
    assert on_its_way < asked and on_its_way in began  # what was on its way was heard, and was not taken for an answer
