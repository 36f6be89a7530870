"""A lock per key, for as long as somebody wants it."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from beowulf.sync.cancel import Cancellation


class Locks:
    def __init__(self) -> None:
        self._guard = threading.Condition()
        self._held: set[Hashable] = set()

    @contextmanager
    def holding(self, key: Hashable, cancellation: Cancellation) -> Iterator[None]:
        """Waits for the key; raises `Cancelled` when that is asked for meanwhile."""
        with cancellation.interrupting(self._wake), self._guard:
            self._guard.wait_for(lambda: cancellation.cancelled or key not in self._held)
            cancellation.check()
            self._held.add(key)
        try:
            yield
        finally:
            with self._guard:
                self._held.discard(key)
                self._guard.notify_all()

    def _wake(self) -> None:
        with self._guard:
            self._guard.notify_all()
