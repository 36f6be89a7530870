"""The last two minutes of every node: how busy it was, in memory only."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from beowulf.model.node import NodeId
from beowulf.probe import GpuLoad, Load, load_between

KEPT = 24  # at a heartbeat of 5 s: two minutes


@dataclass(slots=True)
class _Node:
    counters: Mapping[str, int] = field(default_factory=dict)
    at: float = 0.0
    loads: deque[tuple[int, Load]] = field(default_factory=lambda: deque(maxlen=KEPT))
    gpus: tuple[GpuLoad, ...] = ()


class Samples:
    """For any thread."""

    def __init__(self) -> None:
        self._nodes: dict[NodeId, _Node] = {}
        self._number = 0
        self._lock = threading.Lock()

    def beat(self, node: NodeId, counters: Mapping[str, int], round_trip_ms: float, now: float) -> None:
        with self._lock:
            known = self._nodes.setdefault(node, _Node())
            load = load_between(known.counters, counters, known.at, now)
            self._number += 1
            known.loads.append((self._number, replace(load, round_trip_ms=round_trip_ms, gpus=known.gpus)))
            known.counters, known.at = counters, now

    def gpus(self, node: NodeId, gpus: tuple[GpuLoad, ...]) -> None:
        """They come more rarely than heartbeats, which carry them on."""
        with self._lock:
            self._nodes.setdefault(node, _Node()).gpus = gpus

    def forget(self, node: NodeId) -> None:
        """A node that is away says nothing of itself."""
        with self._lock:
            self._nodes.pop(node, None)

    def newest(self) -> dict[NodeId, Load]:
        """The last one of each node."""
        with self._lock:
            return {node: known.loads[-1][1] for node, known in self._nodes.items() if known.loads}

    def since(self, number: int) -> tuple[int, dict[NodeId, list[Load]]]:
        """``(number to ask with next, {node: what came since, oldest first})``."""
        with self._lock:
            found = {
                node: [load for at, load in known.loads if at > number]
                for node, known in self._nodes.items()
                if known.loads and known.loads[-1][0] > number
            }
            return self._number, found
