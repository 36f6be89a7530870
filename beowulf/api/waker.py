"""From "something changed" in any thread to a coroutine that goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import contextmanager

from beowulf.api.head import Head


class Waker:
    """Many calls between two waits cost one wake-up."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._event = asyncio.Event()
        self._told = False

    def wake(self) -> None:
        if not self._told:
            self._told = True
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self, timeout_s: float | None = None) -> None:
        """Returns at the next `wake`, or the one that came meanwhile, or after the time."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), timeout_s)
        # In this order: a call in between sets the event again.
        self._told = False
        self._event.clear()


@contextmanager
def waking(head: Head) -> Iterator[Waker]:
    waker = Waker(asyncio.get_running_loop())
    unsubscribe = head.subscribe(waker.wake)
    try:
        yield waker
    finally:
        unsubscribe()
