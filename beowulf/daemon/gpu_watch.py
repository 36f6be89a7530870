"""Asks nodes with GPUs how busy those are; heartbeats tell of everything else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from beowulf.model.node import NodeId, NodeState
from beowulf.model.snapshot import Snapshot
from beowulf.probe import gpu_load_question

EVERY_S = 10.0


class GpuWatch:
    """A thread; what the nodes answer comes back by their links."""

    def __init__(self, snapshot: Callable[[], Snapshot], send: Callable[[NodeId, Mapping[str, Any]], object]) -> None:
        self._snapshot = snapshot
        self._send = send
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gpu-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(EVERY_S):
            self.ask()

    def ask(self) -> None:
        question = gpu_load_question()
        for node in self._snapshot().nodes.values():
            if node.state is NodeState.UP and any(gpu.vendor == "nvidia" for gpu in node.facts.gpus):
                self._send(node.id, {"type": "ask", "id": question["name"], "questions": [question]})
