"""TERM to everything, KILL after the grace, again and again until nothing is left."""

import signal
import time
from typing import Callable, List, Optional, Set

from beowulf.agent import identity, sweep
from beowulf.agent.identity import Identity
from beowulf.agent.loop import Loop, Timer

_FIRST_LOOK_S = 0.005
_LATER_LOOK_S = 0.1


class Ending:
    """``done(unkillable)`` is called once, when nothing is left or KILL did not help for ten seconds.

    ``find(thorough)`` names what is left; thorough means looking at all of /proc, which costs milliseconds.
    """

    def __init__(
        self,
        loop: Loop,
        find: Callable[[bool], List[Identity]],
        done: Callable[[List[int]], None],
        reason: str,
        grace_s: float,
    ) -> None:
        self._loop = loop
        self._find = find
        self._done = done
        self.reason = reason
        self._kill_at = time.monotonic() + grace_s
        self._termed: Set[Identity] = set()
        self.met: Set[Identity] = set()
        self._pause_s = _FIRST_LOOK_S
        self._timer: Optional[Timer] = None
        self._thorough_next = True
        self.over = False

    def hurry(self, grace_s: float) -> None:
        """A later, shorter grace counts."""
        self._kill_at = min(self._kill_at, time.monotonic() + grace_s)
        self.look()

    def look(self) -> None:
        """One round. Called by the timer, and whenever a child ended."""
        if self.over:
            return
        thorough, self._thorough_next = self._thorough_next, False
        left = self._find(thorough)
        if not left and not thorough:
            left = self._find(True)
        if not left:
            self._finish([])
            return
        self.met.update(left)
        now = time.monotonic()
        if now > self._kill_at + sweep.KILL_LIMIT_S:
            self._finish(sorted(who.pid for who in left))
            return
        self._strike(left, now)
        self._wait(now)

    def _strike(self, left: List[Identity], now: float) -> None:
        if now >= self._kill_at:
            for who in left:
                identity.send_signal(who, signal.SIGKILL)
            return
        for who in left:
            if who not in self._termed:
                self._termed.add(who)
                identity.send_signal(who, signal.SIGTERM)
                # One that is stopped would never see its TERM.
                identity.send_signal(who, signal.SIGCONT)

    def _wait(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        pause = self._pause_s
        if now < self._kill_at:
            pause = min(pause, self._kill_at - now)
        self._pause_s = min(self._pause_s * 2, _LATER_LOOK_S)
        self._timer = self._loop.later(pause, self.look)

    def _finish(self, unkillable: List[int]) -> None:
        self.over = True
        if self._timer is not None:
            self._timer.cancel()
        self._done(unkillable)
