"""Keeps how busy each running attempt's machines are, from its start to its end: a small file per attempt.

A course is written when it has a new step, at most every `WRITE_EVERY_S`; a killed head loses what came since, no more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from beowulf.daemon.every import Every
from beowulf.model.codec import decode, encode
from beowulf.model.job import Attempt, Job, JobId
from beowulf.model.node import NodeId
from beowulf.model.snapshot import Snapshot
from beowulf.probe import Course, Load, extended, use_of

log = structlog.get_logger("courses")

WRITE_EVERY_S = 30.0


@dataclass(slots=True)
class _Kept:
    course: Course
    written_steps: int = 0
    written_at: float = 0.0


class Courses(Every):
    """Looks every ``every_s``: as often as there is something new, which heartbeats bring."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        newest: Callable[[], Mapping[NodeId, Load]],
        place: Callable[[JobId, int], Path],
        every_s: float,
    ) -> None:
        super().__init__(every_s, lambda: self.look(time.time()), "courses")
        self._snapshot = snapshot
        self._newest = newest
        self._place = place
        self._lock = threading.Lock()
        self._kept: dict[tuple[JobId, int], _Kept] = {}

    def stop(self) -> None:
        super().stop()
        with self._lock:
            for key in self._kept:
                self._write(key, time.time())

    def course(self, job_id: JobId, attempt: int) -> Course | None:
        """None where nothing was seen of it: it did not run, or not for long enough."""
        with self._lock:
            kept = self._kept.get((job_id, attempt))
            return kept.course if kept else self._read(job_id, attempt)

    def look(self, now: float) -> None:
        """One sample of every attempt that runs; those that have ended are written and let go."""
        snapshot, newest = self._snapshot(), self._newest()
        running = {(job.id, one.number): one for job in _active(snapshot) if (one := _running(job)) is not None}
        with self._lock:
            for key, attempt in running.items():
                self._sample(key, attempt, newest, now)
            for key in [key for key in self._kept if key not in running]:
                self._write(key, now)
                del self._kept[key]

    def _sample(self, key: tuple[JobId, int], attempt: Attempt, newest: Mapping[NodeId, Load], now: float) -> None:
        gpus = {share.node: share.gpus for share in attempt.allocation.shares}
        loads = {node: newest[node] for node in gpus if node in newest and newest[node].at > attempt.started_at}
        if not loads:
            return
        if key not in self._kept:
            self._kept[key] = _Kept(self._read(*key) or Course(attempt.started_at))
        kept = self._kept[key]
        begun = replace(kept.course, begin=attempt.started_at)  # it moves when the clock is set
        kept.course = extended(begun, use_of(loads, gpus), now)
        if len(kept.course.uses) != kept.written_steps and now - kept.written_at >= WRITE_EVERY_S:
            self._write(key, now)

    def _write(self, key: tuple[JobId, int], now: float) -> None:
        kept, place = self._kept[key], self._place(*key)
        kept.written_steps, kept.written_at = len(kept.course.uses), now
        fresh = place.with_suffix(".new")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(encode(kept.course))
            fresh.replace(place)
        except OSError as error:  # a chart is not worth more than a word
            log.warning("course not written", attempt=f"{key[0]}.{key[1]}", error=str(error))

    def _read(self, job_id: JobId, attempt: int) -> Course | None:
        try:
            return decode(Course, self._place(job_id, attempt).read_bytes())
        except (OSError, ValueError):
            return None


def _active(snapshot: Snapshot) -> list[Job]:
    return [snapshot.jobs[job_id] for job_id in snapshot.active]


def _running(job: Job) -> Attempt | None:
    """Its attempt, from the start of the ranks until their end is decided."""
    attempt = job.attempt
    return attempt if attempt is not None and attempt.started_at and attempt.ending is None else None
