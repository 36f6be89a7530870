"""The head's clock beside one that nobody sets: the time since the machine was booted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from beowulf.agent.system import boot_id, boottime
from beowulf.model.clock import Clock, ClockStepped, step_s

CLOSE_S = 0.1  # two clocks that are read within this time say what they say of one moment
TRIES = 10


class Watch:
    """``uptime`` counts seconds since the boot ``boot_id``, time asleep included; None: the clock is never set."""

    def __init__(
        self, wall: Callable[[], float], uptime: Callable[[], float] | None, boot_id: str, before: Clock | None
    ) -> None:
        """``before``: what it said when a head last told of it."""
        self.now = wall
        self._uptime = uptime
        self._boot_id = boot_id if uptime else ""
        self._trusted = before or self.read()

    def read(self) -> Clock:
        if self._uptime is None:
            return Clock(self.now())
        for _ in range(TRIES):
            before = self._uptime()
            at = self.now()
            after = self._uptime()
            if after - before < CLOSE_S:
                break
        return Clock(at, self._boot_id, at - after)

    def step(self) -> ClockStepped | None:
        """What has to be told before anything else is decided; until `trust` has been called it is told again."""
        clock = self.read()
        by_s = step_s(self._trusted, clock)
        detail = (
            f"the head's clock was set {'on' if by_s > 0 else 'back'} by {abs(by_s):.0f} s: nothing is older for it"
        )
        return ClockStepped(clock.at, by_s, clock, detail) if by_s else None

    def trust(self, clock: Clock) -> None:
        self._trusted = clock


def watch_here(before: Clock | None, alive_at: float) -> Watch:
    """Of this machine. ``alive_at``: when a head was last up, by its clock."""
    last = replace(before, at=max(before.at, alive_at)) if before else None
    return Watch(time.time, boottime, boot_id(), last)
