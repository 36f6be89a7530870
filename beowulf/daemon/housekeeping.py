"""Keeps caches within their limits: submitted folders on the head; folders, environments and wheels on idle nodes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
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
        self, snapshot: Callable[[], Snapshot], stager: Trimmer, trees: TreeStore, limits: CacheLimits | None = None
    ) -> None:
        self._snapshot = snapshot
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
        snapshot = self._snapshot()
        _trimmed("the head", lambda: self._trim_own(snapshot, now))
        for node in snapshot.nodes.values():
            if node.schedulable and not snapshot.held.get(node.id):
                needed = needed_on(snapshot, node)
                _trimmed(node.id, partial(self._stager.trim, node, needed, self._limits, now))

    def _trim_own(self, snapshot: Snapshot, now: float) -> int:
        needed = {tree.digest for job in live_jobs(snapshot) for tree in placed_trees(job.spec)}
        dropped = to_drop(self._trees.held(), needed, self._limits, now)
        self._trees.drop(dropped)
        return len(dropped)


def _trimmed(where: str, trim: Callable[[], int]) -> None:
    """What cannot be trimmed now, and that alone, has its next turn in an hour."""
    try:
        dropped = trim()
    except (BeowulfError, OSError) as error:
        log.warning("cache not trimmed", where=where, error=str(error))
        return
    if dropped:
        log.info("cache trimmed", where=where, folders=dropped)
