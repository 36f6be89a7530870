"""Keeps the store and caches within bounds: old detail, what jobs left, submitted folders and wheels on the head;
folders, environments and wheels on idle nodes; inputs in the buckets of clouds."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Protocol

import structlog

from beowulf.daemon.every import Every
from beowulf.daemon.leavings import dated, leavings, let_go
from beowulf.model.errors import BeowulfError
from beowulf.model.job import Job
from beowulf.model.node import Node
from beowulf.model.snapshot import Snapshot
from beowulf.sync.depot import Depot
from beowulf.sync.environment import environment_digest
from beowulf.sync.expiry import CacheLimits, to_drop
from beowulf.sync.stager import placed_trees
from beowulf.sync.trees import TreeStore
from beowulf.sync.wheels import WheelHouse

log = structlog.get_logger("housekeeping")

EVERY_S = 3600.0
IN_USE_S = 86400.0  # a wheel that was asked for so lately may be on its way
LOG_BYTES = 64 << 20
FRESH_S = 7 * 86400.0  # what a job left stays so long, however much it is
STAGED_S = 7 * 86400.0  # so long inputs stay in a bucket, which is billed for them
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


class Housekeeping(Every):
    """Looks at the caches once an hour. A node at work is left alone: its turn comes."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        stager: Trimmer,
        trees: TreeStore,
        wheels: WheelHouse,
        jobs: Path,
        head_log: Path,
        thin_history: Callable[[float], None],
        limits: CacheLimits | None = None,
        keep_jobs: CacheLimits | None = None,
        depots: Collection[Depot] = (),
    ) -> None:
        """``jobs``: a folder for each job, with its logs, outputs and checkpoints. ``thin_history``: leaves what is
        worth keeping of what ranks and nodes told before a moment. ``keep_jobs``: of logs and outputs of jobs that
        have ended; None: all of it."""
        super().__init__(EVERY_S, lambda: self.tidy(time.time()), "housekeeping")
        self._snapshot = snapshot
        self._thin_history = thin_history
        self._stager = stager
        self._trees = trees
        self._wheels = wheels
        self._jobs = jobs
        self._head_log = head_log
        self._limits = limits or CacheLimits()
        self._keep_jobs = keep_jobs
        self._depots = depots

    def tidy(self, now: float) -> None:
        """What fails is told of, and keeps nothing else from being tidied: it is tried again in an hour."""
        snapshot = self._snapshot()
        for work in (
            self._thin,
            self._drop_trees,
            self._drop_wheels,
            self._drop_checkpoints,
            self._let_go,
            self._turn_log,
            self._drop_staged,
            self._trim_nodes,
        ):
            try:
                work(snapshot, now)
            except Exception as error:
                log.error("not tidied", what=work.__name__, error=repr(error))

    def _thin(self, snapshot: Snapshot, now: float) -> None:
        self._thin_history(now - WHOLE_S)

    def _drop_trees(self, snapshot: Snapshot, now: float) -> None:
        needed = {tree.digest for job in live_jobs(snapshot) for tree in placed_trees(job.spec)}
        self._trees.drop(to_drop(self._trees.held(), needed, self._limits, now))

    def _drop_wheels(self, snapshot: Snapshot, now: float) -> None:
        """One that is wanted again is fetched again."""
        held = self._wheels.held()
        fresh = {wheel.name for wheel in held if now - wheel.used_at < IN_USE_S}
        self._wheels.drop(to_drop(held, fresh, self._limits, now))

    def _drop_checkpoints(self, snapshot: Snapshot, now: float) -> None:
        """Of jobs that will not go on any more; a COMPLETED one's went at its end."""
        live = {job.id for job in live_jobs(snapshot)}
        for folder in self._jobs.glob("*/checkpoints"):
            if folder.parent.name not in live and now - folder.stat().st_mtime > self._limits.max_age_s:
                shutil.rmtree(folder)

    def _let_go(self, snapshot: Snapshot, now: float) -> None:
        """Logs and outputs of jobs that have ended. Those of one that has not are not even home yet."""
        keep = self._keep_jobs
        if keep is None:
            return
        found = dated(leavings(self._jobs), now)
        fresh = {one.name for one in found if now - one.used_at < FRESH_S}
        live = {job.id for job in live_jobs(snapshot)}
        old = {one.name for one in found if now - one.used_at > keep.max_age_s}
        day = time.strftime("%Y-%m-%d", time.localtime(now))
        for name in to_drop(found, live | fresh, keep, now):
            limit = (
                f"{keep.max_age_s / 86400.0:g} days old"
                if name in old
                else f"more than {keep.max_bytes >> 30} GiB in all"
            )
            let_go(self._jobs / name, f"its log and outputs were removed on {day}: {limit} (keep_jobs)")

    def _turn_log(self, snapshot: Snapshot, now: float) -> None:
        """The head appends to it all its life: what is there is copied aside, and the file emptied under it."""
        if self._head_log.exists() and self._head_log.stat().st_size > LOG_BYTES:
            shutil.copyfile(self._head_log, self._head_log.with_name(f"{self._head_log.name}.1"))
            os.truncate(self._head_log, 0)

    def _drop_staged(self, snapshot: Snapshot, now: float) -> None:
        for depot in self._depots:
            try:
                dropped = depot.drop(now - STAGED_S)
            except BeowulfError as error:
                log.warning("inputs stay in a bucket", why=str(error))
                continue
            if dropped:
                log.info("old inputs deleted from a bucket", files=dropped)

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
