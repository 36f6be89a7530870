"""How often a provider is asked for its list."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from beowulf.model.cloud import Machine, MachineId, MachineState
from beowulf.model.renting import Renting

FRESH_S = 1.0  # while a machine boots: its address and its first words are in the list
SOON_S = 3.0  # while something else is on its way in or out, or was lost sight of
NOTHING_S = 600.0  # when nothing of ours is known to be there


def every_s(machines: Iterable[Machine], linked: Collection[MachineId], unsettled: bool, rules: Renting) -> float:
    """``machines``: this provider's live ones; ``unsettled``: there is more that has to go, or a part of a machine."""
    known = list(machines)
    if any(one.state is MachineState.BOOTING for one in known):
        return min(FRESH_S, rules.list_every_s)
    if unsettled or any(one.state is MachineState.TERMINATING or one.id not in linked for one in known):
        return min(SOON_S, rules.list_every_s)
    return rules.list_every_s if known else max(NOTHING_S, rules.list_every_s)
