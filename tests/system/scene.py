"""What a world is made of besides its machines: moods, wishes, the head's desk, and a store on a failing disk."""

from __future__ import annotations

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
