"""What the head says, kept: jobs, nodes and loads, brought up to date by its stream of changes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from beowulf.client.client import Client
from beowulf.model.errors import BeowulfError
from beowulf.tui.index import JobIndex
from beowulf.tui.natural import natural
from beowulf.views.cluster import NodePart, node_part

Json: TypeAlias = Mapping[str, Any]
Listener: TypeAlias = Callable[[Json | str], object]  # a line, or why the head does not answer

RETRY_S = 1.0
TWO_MINUTES = 24  # heartbeats


class State:
    """Only the screen's own thread changes it, with `take`."""

    def __init__(self) -> None:
        self.cursor = 0
        self.index = JobIndex()
        self.nodes: dict[str, Json] = {}
        self.node_names: list[str] = []  # in their order
        self.parts: dict[str, NodePart] = {}  # what each node adds to the cluster's line
        self.loads: dict[str, deque[Json]] = {}
        self.transfers: list[Json] = []
        self.machines: dict[str, Json] = {}  # rented ones that are not gone
        self.stale = ""  # why the head does not answer; "": it does
        self.heard = False
        self.coming = False  # jobs are still missing

    @property
    def jobs(self) -> Mapping[str, Json]:
        return self.index.jobs

    def take(self, line: Json) -> None:
        """One line of the stream."""
        if line["whole"]:
            self.index = JobIndex(line["jobs"])
            for kept in (self.nodes, self.parts, self.loads):
                kept.clear()
        else:
            for job in line["jobs"]:
                self.index.put(job)
        self.cursor = int(line["cursor"])
        for node in line["nodes"]:
            self.nodes[node["id"]], self.parts[node["id"]] = node, node_part(node)
        for name in line["gone"]:
            for kept in (self.nodes, self.parts, self.loads):
                kept.pop(name, None)
        if line["gone"] or len(self.node_names) != len(self.nodes):
            self.node_names = sorted(self.nodes, key=natural)
        for name, loads in line["loads"].items():
            self.loads.setdefault(name, deque(maxlen=TWO_MINUTES)).extend(loads)
        if line.get("transfers") is not None:
            self.transfers = list(line["transfers"])
        if line.get("machines") is not None:
            self.machines = {str(machine["id"]): machine for machine in line["machines"]}
        self.stale, self.heard, self.coming = "", True, bool(line.get("more"))

    def newest_load(self, node: str) -> Json:
        loads = self.loads.get(node)
        return loads[-1] if loads else {}


class Feed:
    """A thread that reads the stream and begins again, from its cursor, whenever the head went away.

    It begins at once, also long before anybody listens: what comes is kept for who will.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._early: list[Json | str] = []
        self._listener: Listener = self._early.append
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._taken = threading.Event()
        self._cursor = 0
        threading.Thread(target=self._run, name="feed", daemon=True).start()

    def listen(self, listener: Listener) -> None:
        """All that was heard, and then what is being heard; from the feed's thread."""
        with self._lock:
            for heard in self._early:
                listener(heard)
            self._listener = listener

    def go_on(self) -> None:
        """A line with ``more`` is on the screen; reading the next one earlier would keep it from getting there."""
        self._taken.set()

    def stop(self) -> None:
        self._stopping.set()
        self._taken.set()

    def _tell(self, heard: Json | str, *, more: bool = False) -> None:
        self._taken.clear()
        with self._lock:
            self._listener(heard)
        if more:
            self._taken.wait()

    def _run(self) -> None:
        while not self._stopping.is_set():
            pages: list[Json] = []
            try:
                for line in self._client.changes(self._cursor):
                    if self._stopping.is_set():
                        return
                    pages.append(line)
                    more = bool(line.get("more"))
                    if more and self._cursor:
                        continue  # the whole anew: what is on the screen stays until all of it is there
                    self._cursor = int(line["cursor"])
                    self._tell(together(pages), more=more)
                    pages = []
                reason = "it hung up"
            except (BeowulfError, OSError, ValueError) as error:
                reason = str(error)
            self._tell(reason)
            self._stopping.wait(RETRY_S)


def together(pages: Sequence[Json]) -> Json:
    """The lines of one whole as one line."""
    if len(pages) == 1:
        return pages[0]
    first, last = pages[0], pages[-1]
    jobs = [job for page in pages for job in page["jobs"]]
    return {**first, "jobs": jobs, "cursor": last["cursor"], "loads": last["loads"], "more": last.get("more")}
