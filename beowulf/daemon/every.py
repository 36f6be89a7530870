"""What is done again and again while the head is up."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

log = structlog.get_logger("head")


class Every:
    """A thread that does ``work`` every ``seconds`` from `start` to `stop`. What goes wrong is told of and tried again:
    a head runs for months, and nobody would miss a thread."""

    def __init__(self, seconds: float, work: Callable[[], object], name: str) -> None:
        self._seconds = seconds
        self._work = work
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._turns, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ending.set()

    def _turns(self) -> None:
        while not self._ending.wait(self._seconds):
            try:
                self._work()
            except Exception:
                log.exception("not done this time", what=self._thread.name)
