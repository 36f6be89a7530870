"""The ways between the sites of stretched gangs: measured, opened, and closed when the gang ends."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from beowulf.controller.draft import OpenWays, WayBroken, WaysOpened
from beowulf.measure.line import measured
from beowulf.model.errors import BeowulfError
from beowulf.model.node import LineSpeed, NodeId
from beowulf.transport import Fleet, Passages

log = structlog.get_logger("ways")


class Ways:
    def __init__(self, fleet: Fleet, post: Callable[[WaysOpened | WayBroken], None]) -> None:
        self._fleet, self._post = fleet, post
        self._lock = threading.Lock()
        self._open: dict[str, Passages] = {}
        self._ended: set[str] = set()

    def open(self, action: OpenWays) -> None:
        """Blocking. What comes of it is posted, whatever that is: the gang waits for it."""
        try:
            line = self._measure(action.near, action.far[0])
            self._post(WaysOpened(action.tag, self._lead(action), action.far[0], line))
        except BeowulfError as error:
            said = f"{error.message} ({error.hint})" if error.hint else error.message
            self._post(WaysOpened(action.tag, error=said))
        except Exception as error:
            log.exception("no way was opened", attempt=action.tag)
            self._post(WaysOpened(action.tag, error=f"{type(error).__name__}: {error}"))

    def end(self, tag: str, *, over: bool) -> None:
        """Close those of the attempt, and open none any more. ``over``: nobody asks for it again."""
        with self._lock:
            passages = self._open.pop(tag, None)
            self._ended.discard(tag) if over else self._ended.add(tag)
        if passages is not None:  # in a thread of its own: connections take their time to close
            threading.Thread(target=passages.close, name="ways", daemon=True).start()

    def close(self) -> None:
        for tag in list(self._open):
            self.end(tag, over=True)

    def _measure(self, near: NodeId, far: NodeId) -> LineSpeed:
        trial = self._fleet.passages(near, lambda why: log.warning("no line was measured", why=why))
        try:
            return measured(self._fleet, near, far, lambda port: ("127.0.0.1", trial.lead(far, port)))
        finally:
            trial.close()

    def _lead(self, action: OpenWays) -> dict[NodeId, int]:
        passages = self._fleet.passages(action.near, lambda why: self._post(WayBroken(action.tag, why)))
        with self._lock:
            ended = action.tag in self._ended
            before = None if ended else self._open.get(action.tag)
            if not ended:
                self._open[action.tag] = passages
        if before is not None:
            before.close()
        if ended:
            return {}
        return {node: passages.lead(node, action.port) for node in action.far}
