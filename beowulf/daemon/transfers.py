"""What is travelling for which attempt, so that people see why a job is still being prepared."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from beowulf.sync.progress import Progress


class Transfers:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_tag: dict[str, dict[str, Progress]] = {}

    def note(self, tag: str, progress: Progress) -> None:
        with self._lock:
            self._by_tag.setdefault(tag, {})[progress.node] = progress

    def done(self, tag: str, node: str) -> None:
        with self._lock:
            nodes = self._by_tag.get(tag, {})
            nodes.pop(node, None)
            if not nodes:
                self._by_tag.pop(tag, None)

    def sentence(self, tag: str) -> str:
        """``"files: n1 (40%), n2 (7%); installing 3 packages: n3"``; "" when nothing travels."""
        with self._lock:
            moving = sorted(self._by_tag.get(tag, {}).values(), key=lambda one: one.node)
        return _said(moving)


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
