"""One thread waiting for descriptors and moments."""

import heapq
import itertools
import selectors
import time
from typing import Callable, List, Tuple

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE
Callback = Callable[[], None]


class Timer:
    def __init__(self, callback: Callback) -> None:
        self.callback = callback
        self.live = True

    def cancel(self) -> None:
        self.live = False


class Loop:
    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: List[Tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self.stopped = False

    def watch(self, descriptor: int, events: int, callback: Callable[[int], None]) -> None:
        """Calls back with the events that came true. A second call for the same descriptor replaces the first."""
        if descriptor in self._selector.get_map():
            self._selector.modify(descriptor, events, callback)
        else:
            self._selector.register(descriptor, events, callback)

    def unwatch(self, descriptor: int) -> None:
        if descriptor in self._selector.get_map():
            self._selector.unregister(descriptor)

    def later(self, seconds: float, callback: Callback) -> Timer:
        timer = Timer(callback)
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), timer))
        return timer

    def stop(self) -> None:
        self.stopped = True

    def run(self) -> None:
        """Until `stop`."""
        while not self.stopped:
            self.turn()

    def turn(self, limit_s: float = 3600.0) -> None:
        """One wait and what came of it."""
        for key, events in self._selector.select(self._wait_s(limit_s)):
            # A callback before this one may have taken the descriptor away.
            current = self._selector.get_map().get(key.fd)
            if current is not None and current.data is key.data:
                key.data(events)
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            if timer.live:
                timer.live = False
                timer.callback()

    def _wait_s(self, limit_s: float) -> float:
        while self._timers and not self._timers[0][2].live:
            heapq.heappop(self._timers)
        if not self._timers:
            return limit_s
        return max(0.0, min(limit_s, self._timers[0][0] - time.monotonic()))
