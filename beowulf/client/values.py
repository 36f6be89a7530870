"""What the head answers with, as plain dictionaries whose keys are known to type checkers.

Times are seconds since the epoch by the head's clock, 0 for what has not happened; sizes and durations have their unit
in their name.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class JobRow(TypedDict):
    """One line of ``ps``."""

    id: str
    number: int
    array_index: int | None
    name: str
    owner: str
    state: str  # PENDING, CONFIGURING, RUNNING, COMPLETING, ENDED
    result: str | None  # how it ended; None while it has not
    word: str  # the state, or after the end how it ended: COMPLETED, FAILED, …
    reason: str  # why it waits, or why it ended so
    launcher: str
    queue: str
    project: str
    priority: int
    min_nodes: int
    nodes: list[str]
    ranks: int
    attempts: int
    max_duration_s: float  # 0: no limit
    threads: int  # of the newest attempt
    exit: list[int]  # code and signal of the process that failed first; 0, 0 where none did
    submitted_at: float
    promised_at: float
    first_started_at: float
    placed_at: float
    started_at: float
    ended_at: float
    thread_s: float
    gpu_s: float
    lost_thread_s: float


class TaskRow(JobRow):
    """A task of an array, with the last value of every key that it reported."""

    values: dict[str, Any]


class RankEnd(TypedDict):
    """How one process ended."""

    process: str
    node: str
    code: int
    signal: int
    at: float


class AttemptWhole(TypedDict):
    """One try of a job; ``allocation`` says which rank sat on which threads and GPUs of which node."""

    number: int
    allocation: dict[str, Any]
    placed_at: float
    launched_at: float
    started_at: float
    ended_at: float
    ending: str | None
    reason: str
    exits: list[RankEnd]
    from_step: int


class JobWhole(TypedDict):
    """Everything about one job. Of an array there is only ``id`` and ``tasks``."""

    id: str
    number: int
    array_index: int | None
    owner: str
    state: str
    result: str | None
    word: str
    reason: str
    spec: dict[str, Any]
    let_go: str  # why its log and outputs are not at the head any more; "": nobody removed them
    attempts: list[AttemptWhole]
    submitted_at: float
    ended_at: float
    tasks: NotRequired[list[JobRow]]


class NodeWhole(TypedDict):
    """A machine: what it is (``facts``), what was measured of it (``profile``), what jobs have of it."""

    id: str
    site: str
    groups: list[str]
    tags: dict[str, str]
    state: str  # UNKNOWN, UP, DOWN
    reason: str
    drained: bool
    draining_reason: str
    same_as: str  # the node that already stands for this machine; "": this one does
    endpoint: dict[str, Any]
    host_key: str
    facts: dict[str, Any]
    profile: dict[str, Any]
    max_cpus: int
    max_memory_mib: int
    share_gpus: int
    share_between_users: bool
    used_cpus: int
    used_gpus: int
    used_memory_mib: int


class Report(TypedDict):
    """What a rank told of itself; ``body`` is what its script reported."""

    cursor: int
    job_id: str
    attempt: int
    rank: int
    seq: int
    at: float
    body: dict[str, Any]
