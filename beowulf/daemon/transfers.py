"""What is travelling for which attempt, so that people see why a job is still being prepared."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from beowulf.model.job import split_tag
from beowulf.sync.progress import Progress


@dataclass(frozen=True, slots=True)
class _Moving:
    progress: Progress
    began_at: float
    first_bytes: int  # were done then
    at: float


class Transfers:
    """One per attempt and node: never more than there are threads that stage (`hands.STAGING_THREADS`)."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._by_tag: dict[str, dict[str, _Moving]] = {}

    def note(self, tag: str, progress: Progress) -> None:
        now = self._clock()
        with self._lock:
            known = self._by_tag.setdefault(tag, {}).get(progress.node)
            begun = known is not None and known.progress.total_bytes == progress.total_bytes
            if known is not None and begun:
                moving = _Moving(progress, known.began_at, known.first_bytes, now)
            else:
                moving = _Moving(progress, now, progress.done_bytes, now)
            self._by_tag[tag][progress.node] = moving

    def done(self, tag: str, node: str) -> None:
        with self._lock:
            nodes = self._by_tag.get(tag, {})
            nodes.pop(node, None)
            if not nodes:
                self._by_tag.pop(tag, None)

    def sentence(self, tag: str) -> str:
        """``"files: n1 (40%), n2 (7%); installing 3 packages: n3"``; "" when nothing travels."""
        with self._lock:
            moving = sorted((one.progress for one in self._by_tag.get(tag, {}).values()), key=lambda one: one.node)
        return _said(moving)

    def rows(self) -> list[dict[str, Any]]:
        """All that travels, as the API tells it; bytes done since ``began_at`` say how fast."""
        with self._lock:
            return [_row(tag, one) for tag, nodes in self._by_tag.items() for one in nodes.values()]


def _row(tag: str, moving: _Moving) -> dict[str, Any]:
    progress, (job_id, attempt) = moving.progress, split_tag(tag)
    return {
        "job_id": job_id,
        "attempt": attempt,
        "node": progress.node,
        "home": progress.home,
        "what": _named(progress.what),
        "file": progress.file,
        "done_bytes": progress.done_bytes,
        "total_bytes": progress.total_bytes,
        "began_at": moving.began_at,
        "first_bytes": moving.first_bytes,
        "at": moving.at,
    }


def _said(moving: Sequence[Progress]) -> str:
    """Nodes at the same thing are named together."""
    nodes: dict[str, list[str]] = {}
    for one in moving:
        share = f" ({100 * one.done_bytes // one.total_bytes}%)" if one.total_bytes else ""
        nodes.setdefault(_named(one.what), []).append(f"{one.node}{share}")
    return "; ".join(f"{what}: {', '.join(where)}" for what, where in nodes.items())


def _named(what: str) -> str:
    """A wheel by its package and version: the rest of its name is for machines."""
    return " ".join(what.split("-")[:2]) if what.endswith(".whl") else what
