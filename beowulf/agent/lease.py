"""How long an attempt may go on without word from the head. Time asleep counts: the clock is CLOCK_BOOTTIME."""

from typing import Callable

from beowulf.agent import system
from beowulf.agent.loop import Loop

_LOOK_S = 2.0


class Lease:
    """``expired()`` is called within two seconds of its end, or of waking up after it."""

    def __init__(self, loop: Loop, seconds: float, expired: Callable[[], None]) -> None:
        self._loop = loop
        self._expired = expired
        self.until = system.boottime() + seconds
        self._look()

    def renew(self, seconds: float) -> None:
        self.until = system.boottime() + seconds

    def _look(self) -> None:
        left = self.until - system.boottime()
        if left <= 0:
            self._expired()
        # A timer does not run while the machine sleeps, so no wait may be long.
        self._loop.later(_LOOK_S if left <= 0 else min(left, _LOOK_S), self._look)
