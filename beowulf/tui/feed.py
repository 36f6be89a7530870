"""What the head says, kept: jobs, nodes and loads, brought up to date by its stream of changes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from beowulf.client.client import Client
from beowulf.model.errors import BeowulfError

Json: TypeAlias = Mapping[str, Any]

RETRY_S = 1.0
TWO_MINUTES = 24  # heartbeats


class State:
    """Only the screen's own thread changes it, with `take`."""

    def __init__(self) -> None:
        self.cursor = 0
        self.jobs: dict[str, Json] = {}
        self.nodes: dict[str, Json] = {}
        self.loads: dict[str, deque[Json]] = {}
        self.stale = ""  # why the head does not answer; "": it does
        self.heard = False

    def take(self, line: Json) -> None:
        """One line of the stream."""
        if line["whole"]:
            self.jobs.clear()
            self.nodes.clear()
            self.loads.clear()
        self.cursor = int(line["cursor"])
        self.jobs.update((job["id"], job) for job in line["jobs"])
        self.nodes.update((node["id"], node) for node in line["nodes"])
        for name in line["gone"]:
            self.nodes.pop(name, None)
            self.loads.pop(name, None)
        for name, loads in line["loads"].items():
            self.loads.setdefault(name, deque(maxlen=TWO_MINUTES)).extend(loads)
        self.stale, self.heard = "", True

    def jobs_by_node(self) -> dict[str, list[str]]:
        """Who has a part of each node: jobs that are placed and have not ended."""
        found: dict[str, list[str]] = {}
        for job in self.jobs.values():
            if job.get("state") in ("CONFIGURING", "RUNNING", "COMPLETING"):
                for node in job.get("nodes") or ():
                    found.setdefault(str(node), []).append(str(job["id"]))
        return found


class Feed:
    """A thread that reads the stream and begins again, from its cursor, whenever the head went away."""

    def __init__(self, client: Client, told: Callable[[Json], object], unanswered: Callable[[str], object]) -> None:
        self._client = client
        self._told = told
        self._unanswered = unanswered
        self._stopping = threading.Event()
        self._cursor = 0
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                for line in self._client.changes(self._cursor):
                    if self._stopping.is_set():
                        return
                    self._cursor = int(line["cursor"])
                    self._told(line)
                reason = "it hung up"
            except (BeowulfError, OSError, ValueError) as error:
                reason = str(error)
            self._unanswered(reason)
            self._stopping.wait(RETRY_S)
