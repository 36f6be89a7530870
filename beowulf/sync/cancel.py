"""A way to end blocking work from another thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from beowulf.sync.errors import Cancelled


class Cancellation:
    """Set once, from any thread. What is registered meanwhile is called at that moment, in the cancelling thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._set = False
        self._callbacks: list[Callable[[], object]] = []

    def cancel(self) -> None:
        with self._lock:
            self._set = True
            callbacks = list(self._callbacks)
        for callback in callbacks:
            callback()

    def check(self) -> None:
        """Raises `Cancelled` once it is set."""
        if self._set:
            raise Cancelled("staging was cancelled")

    @property
    def cancelled(self) -> bool:
        return self._set

    @contextmanager
    def interrupting(self, callback: Callable[[], object]) -> Iterator[None]:
        """While inside, cancelling also calls ``callback``, which must end whatever blocks."""
        with self._lock:
            self._callbacks.append(callback)
        try:
            self.check()
            yield
        finally:
            with self._lock:
                self._callbacks.remove(callback)
