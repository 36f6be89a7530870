"""Signals heard by a thread of their own, also while the main thread waits in a collective for a rank that died.

A handler in C writes the signal's number into a pipe whichever thread it comes to; Python's own handlers would wait
for the main thread, and a thread that blocks the signal and waits for it would need all of torch's to block it, too.
"""

from __future__ import annotations

import os
import signal
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

WORK = 0


class Bell:
    """``heard(number)`` is called in the bell's thread for every signal of ``numbers``, and with 0 after `ring`."""

    def __init__(self, numbers: Sequence[int], heard: Callable[[int], None]) -> None:
        self._heard = heard
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._before: dict[int, Any] = {}
        self._wakeup_before = -1
        self._closing = False
        if threading.current_thread() is threading.main_thread():
            self._take(numbers)
        self._thread = threading.Thread(target=self._run, name="checkpoint", daemon=True)
        self._thread.start()
        _BELLS.add(self)

    def _take(self, numbers: Sequence[int]) -> None:
        self._wakeup_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in numbers:
            self._before[number] = signal.signal(number, self._chain)

    def _chain(self, number: int, frame: Any) -> None:
        """In the main thread, when it gets to it: who listened before hears it as well."""
        before = self._before.get(number)
        if callable(before):
            before(number, frame)

    def alone(self, number: int) -> bool:
        """Whether a signal would have had its default effect without us."""
        return self._before.get(number) is signal.SIG_DFL

    def ring(self) -> None:
        with suppress(BlockingIOError):  # it is full of signals that are not heard yet
            os.write(self._writer, bytes([WORK]))

    def _run(self) -> None:
        while True:
            for number in os.read(self._reader, 64):
                if self._closing:
                    return
                if number != WORK and self._wakeup_before >= 0:
                    with suppress(OSError):
                        os.write(self._wakeup_before, bytes([number]))
                self._heard(number)

    def close(self) -> None:
        """Signals have their former effect again."""
        self._closing = True
        self.release()
        self.ring()
        self._thread.join()
        os.close(self._reader)
        os.close(self._writer)
        _BELLS.discard(self)

    def release(self) -> None:
        if self._before and threading.current_thread() is threading.main_thread():
            for number, before in self._before.items():
                signal.signal(number, signal.SIG_DFL if before is None else before)
            self._before = {}
            signal.set_wakeup_fd(self._wakeup_before)


_BELLS: weakref.WeakSet[Bell] = weakref.WeakSet()


def _in_child() -> None:
    """A forked worker (of a data loader, say) has no such thread: signals do to it what they do to anybody."""
    for bell in list(_BELLS):
        with suppress(ValueError, OSError):
            bell.release()


os.register_at_fork(after_in_child=_in_child)
