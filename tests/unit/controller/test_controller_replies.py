"""What a provider answers when the answer does not matter any more."""

from __future__ import annotations

import math

from immutables import Map

from beowulf.controller import replies
from beowulf.controller.draft import Draft
from beowulf.controller.policy import Policy
from beowulf.controller.rented import Call, MachineCreated
from beowulf.controller.volatile import Volatile
from beowulf.model.cloud import Machine, MachineState, Market, Offer
from beowulf.model.errors import Unclear
from beowulf.model.snapshot import Snapshot


def test_a_call_that_fails_after_a_list_named_the_instance_is_over() -> None:
    """Else it would seem to go on for ever, and no list could prove that the machine is gone."""
    offer = Offer("sim", "r", "", "big", 2, 4096)
    machine = Machine("sim-1", 1, "t", offer, Market.SPOT, "", "p", 1.0, 60.0, MachineState.BOOTING, "i-1")
    draft = Draft(Snapshot(machines=Map({"sim-1": machine})), Volatile(), Policy(), 10.0)
    draft.volatile.rented.creates["sim-1"] = Call(going=True, tries=1, unsure=True)
    replies.on_created(draft, MachineCreated("sim-1", None, Unclear("no answer")))
    assert draft.volatile.rented.creates["sim-1"].last_ended == 10.0 != math.inf
