"""Named places where a crash would hurt most, so that a test of the real daemon can have it there.

``BEOWULF_FAILPOINT=launch.after_intent:kill`` ends the process with SIGKILL when it comes by, with ``:3:kill`` when it
comes by for the third time. Without the variable nothing happens.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from beowulf.model import rented
from beowulf.model.event import Event

BEFORE_COMMIT: Mapping[type[Any], str] = {
    rented.MachineIntended: "launch.before_intent",
    rented.MachineBooting: "launch.after_call",
    rented.MachineEnding: "destroy.before_intent",
    rented.MachineGone: "destroy.after_call",
}
AFTER_COMMIT: Mapping[type[Any], str] = {
    rented.MachineIntended: "launch.after_intent",
    rented.MachineBooting: "launch.after_commit",
    rented.MachineEnding: "destroy.after_intent",
    rented.MachineGone: "destroy.after_commit",
}
_passed: Counter[str] = Counter()


def failpoint(name: str) -> None:
    asked = os.environ.get("BEOWULF_FAILPOINT", "").split(":")
    if asked[0] != name or asked[-1] != "kill":
        return
    _passed[name] += 1
    if _passed[name] >= (int(asked[1]) if len(asked) == 3 else 1):
        os.kill(os.getpid(), signal.SIGKILL)


def around_commit(events: Sequence[Event], names: Mapping[type[Any], str]) -> None:
    for event in events:
        if type(event) in names:
            failpoint(names[type(event)])
