"""Asks nodes with GPUs how busy those are; heartbeats tell of everything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from beowulf.daemon.every import Every
from beowulf.model.node import NodeId, NodeState
from beowulf.model.snapshot import Snapshot
from beowulf.probe import gpu_load_question

EVERY_S = 10.0


class GpuWatch(Every):
    """What the nodes answer comes back by their links."""

    def __init__(self, snapshot: Callable[[], Snapshot], send: Callable[[NodeId, Mapping[str, Any]], object]) -> None:
        super().__init__(EVERY_S, self.ask, "gpu-watch")
        self._snapshot = snapshot
        self._send = send

    def ask(self) -> None:
        question = gpu_load_question()
        for node in self._snapshot().nodes.values():
            if node.state is NodeState.UP and any(gpu.vendor == "nvidia" for gpu in node.facts.gpus):
                self._send(node.id, {"type": "ask", "id": question["name"], "questions": [question]})
