"""Keeps the store and caches within bounds: old detail, submitted folders on the head; folders, environments and wheels
on idle nodes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

import structlog

from beowulf.model.errors import BeowulfError
from beowulf.model.job import Job
from beowulf.model.node import Node
from beowulf.model.snapshot import Snapshot
from beowulf.sync.environment import environment_digest
from beowulf.sync.expiry import CacheLimits, to_drop
from beowulf.sync.stager import placed_trees
from beowulf.sync.trees import TreeStore

log = structlog.get_logger("housekeeping")

EVERY_S = 3600.0
WHOLE_S = 2 * 86400.0  # so long everything is kept that ranks and nodes tell


class Trimmer(Protocol):
    def trim(self, node: Node, needed: frozenset[str], limits: CacheLimits, now: float) -> int: ...


def live_jobs(snapshot: Snapshot) -> list[Job]:
    return [snapshot.jobs[job_id] for index in (snapshot.pending, snapshot.active) for job_id in index]


def needed_on(snapshot: Snapshot, node: Node) -> frozenset[str]:
    """Digests of every folder and environment that a job which has not ended would want on the node."""
    jobs = live_jobs(snapshot)
    environments = (environment_digest(job.spec.environment, node.facts) for job in jobs)
    trees = (tree.digest for job in jobs for tree in placed_trees(job.spec, job.checkpoint))
    return frozenset((*trees, *(digest for digest in environments if isinstance(digest, str) and digest)))


class Housekeeping:
    """A thread that looks at the caches once an hour. A node at work is left alone: its turn comes."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        stager: Trimmer,
        trees: TreeStore,
        thin_history: Callable[[float], None],
        limits: CacheLimits | None = None,
    ) -> None:
        """``thin_history``: leaves what is worth keeping of what ranks and nodes told before a moment."""
        self._snapshot = snapshot
        self._thin_history = thin_history
        self._stager = stager
        self._trees = trees
        self._limits = limits or CacheLimits()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(EVERY_S):
            self.tidy(time.time())

    def tidy(self, now: float) -> None:
        """What fails is told of, and keeps nothing else from being tidied: it is tried again in an hour."""
        snapshot = self._snapshot()
        for what, work in (("history", self._thin), ("folders", self._drop_trees), ("nodes", self._trim_nodes)):
            try:
                work(snapshot, now)
            except Exception as error:
                log.error("not tidied", what=what, error=repr(error))

    def _thin(self, snapshot: Snapshot, now: float) -> None:
        self._thin_history(now - WHOLE_S)

    def _drop_trees(self, snapshot: Snapshot, now: float) -> None:
        needed = {tree.digest for job in live_jobs(snapshot) for tree in placed_trees(job.spec)}
        self._trees.drop(to_drop(self._trees.held(), needed, self._limits, now))

    def _trim_nodes(self, snapshot: Snapshot, now: float) -> None:
        for node in snapshot.nodes.values():
            if node.schedulable and not snapshot.held.get(node.id):
                self._trim(snapshot, node, now)

    def _trim(self, snapshot: Snapshot, node: Node, now: float) -> None:
        try:
            dropped = self._stager.trim(node, needed_on(snapshot, node), self._limits, now)
        except (BeowulfError, OSError) as error:
            log.warning("cache not trimmed", node=node.id, error=str(error))
            return
        if dropped:
            log.info("cache trimmed", node=node.id, folders=dropped)
