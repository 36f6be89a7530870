"""A rented machine that is on its way out is nobody's to resume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sim_nodes import ME, World

from beowulf.controller import commands as co
from beowulf.model.cloud import Machine, MachineState, Market, Offer
from beowulf.model.errors import Refused


@pytest.mark.parametrize("state", [MachineState.DRAINING, MachineState.TERMINATING])
def test_a_machine_that_ends_stays_drained(tmp_path: Path, state: MachineState) -> None:
    world = World(tmp_path, ["sim-1"], 1)
    world.head_up()
    world.step(1.0)
    world.ask(co.DrainNode(ME, "sim-1", "it was idle for 600 s")).result()
    machine = Machine("sim-1", 1, "t", Offer("sim", "r", "", "big", 2, 4096), Market.SPOT, "", "p", 1.0, 60.0, state)
    assert world.controller is not None
    world.controller.snapshot = replace(world.snapshot, machines=world.snapshot.machines.set("sim-1", machine))
    with pytest.raises(Refused, match="is given back"):
        world.ask(co.ResumeNode(ME, "sim-1")).result()
    assert world.snapshot.nodes["sim-1"].drained
