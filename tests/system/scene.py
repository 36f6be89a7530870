"""What a world is made of besides its machines: moods, wishes, the head's desk, lines, a store on a failing disk."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from beowulf.model.job import JobSpec
from beowulf.store import Store, StoreError


class Killed(BaseException):
    """The controller's process is gone in the middle of what it did."""


@dataclass(frozen=True)
class Moods:
    """How a world is: rates are probabilities, times are seconds."""

    failing: float = 0.1  # ranks that end with a code
    longest_s: float = 20.0
    missing: float = 0.1
    apart: float = 0.01
    full: float = 0.01  # starts that find the node's disk full
    latest_s: float = 1.0  # messages
    late_after_all: float = 0.2  # cut messages that reach the head all the same, after the news of the cut


@dataclass
class Wish:
    """What a client wants, with its idempotency key, until it has been told the job's id."""

    key: str
    owner: str
    spec: JobSpec
    array: tuple[int, ...]
    job: str = ""


@dataclass
class Doom:
    """When the controller dies: before or after its next commit, or once so many actions are performed."""

    point: str = ""  # "", "before", "after", "action", "answer"
    actions: int = 0


@dataclass
class Desk:
    """What the head's disk holds besides the store, and what its workers have under way."""

    checkpoints: set[tuple[str, str]] = field(default_factory=set)  # (job, digest)
    following: set[tuple[str, str]] = field(default_factory=set)
    expected: dict[tuple[str, str], float] = field(default_factory=dict)  # (tag, node) → when its log is whole
    results: list[tuple[float, Any]] = field(default_factory=list)  # (due, what a worker will post)


class Line:
    """One direction of a link: in order, each message late by its own delay; what travels when it is cut is lost."""

    def __init__(self, chance: random.Random, latest_s: float) -> None:
        self.chance, self.latest_s = chance, latest_s
        self.travelling: list[tuple[float, dict[str, Any]]] = []

    def put(self, now: float, header: Mapping[str, Any]) -> None:
        said = json.loads(json.dumps(header))
        due = max(now + self.chance.random() * self.latest_s, self.travelling[-1][0] if self.travelling else 0.0)
        for _ in range(2 if self.chance.random() < 0.03 else 1):
            self.travelling.append((due, said))

    def arrived(self, now: float) -> list[dict[str, Any]]:
        here = [header for due, header in self.travelling if due <= now]
        self.travelling = [one for one in self.travelling if one[0] > now]
        return here


class FlakyStore:
    """The real store; its disk may be full, and the process may die around a commit."""

    def __init__(self, real: Store, world: Any) -> None:
        self._real, self._world = real, world

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def commit(self, *what: Any) -> int:
        if self._world.disk_full:
            raise StoreError("the disk is full")
        self._world.die_at("before")
        kept = self._real.commit(*what)
        self._world.die_at("after")
        return kept
