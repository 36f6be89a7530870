"""What the API needs of the running head. The daemon provides it; tests fake it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol

from beowulf.controller.commands import Caller, Command
from beowulf.model.cloud import Machine, Offer
from beowulf.model.job import Job, JobId, JobSpec
from beowulf.model.node import Endpoint, NodeId
from beowulf.model.rules import Rules
from beowulf.model.snapshot import Snapshot
from beowulf.probe import Course, Load
from beowulf.store import StoredEvent, StoredReport


class Head(Protocol):
    """Called from many threads at once. Everything but ``snapshot``, ``ask`` and ``subscribe`` may block."""

    @property
    def cluster(self) -> str: ...

    @property
    def epoch(self) -> int: ...

    @property
    def version(self) -> str: ...

    def snapshot(self) -> Snapshot:
        """The newest committed one."""

    def position(self) -> int:
        """The last event that `snapshot`, asked for after this, holds for certain."""

    def loads(self, since: int) -> tuple[int, dict[NodeId, list[Load]]]:
        """How busy nodes were, after number ``since``: ``(number to ask with next, {node: oldest first})``."""

    def transfers(self) -> list[dict[str, Any]]:
        """What travels between the head and nodes now: a few rows, whatever the cluster's size."""

    def metrics(self) -> tuple[bytes, str]:
        """The cluster's figures for a monitoring system, and their media type."""

    def ask(self, command: Command) -> Future[Any]:
        """Done once the command's events are committed, or with an error of the tree."""

    def reason(self, job: Job) -> str:
        """Why a job waits or ended so, as one sentence."""

    def warning(self, job_id: JobId) -> str:
        """What a job waits for that its turn alone will not bring: a sentence; "" where there is nothing like that."""

    def events(self, after: int, limit: int, job_id: str) -> list[StoredEvent]: ...

    def reports(self, job_id: JobId, attempt: int, after: int, limit: int) -> list[StoredReport]: ...

    def latest_reports(self, job_id: JobId, attempt: int) -> list[StoredReport]:
        """The last one of each rank."""

    def last_reports(self, job_id: JobId, attempt: int, limit: int) -> list[StoredReport]:
        """The newest ones, of those the oldest first."""

    def last_values(self, number: int) -> Mapping[JobId, Mapping[str, Any]]:
        """By task of an array: the last value of every key that its newest attempt reported."""

    def course(self, job_id: JobId, attempt: int) -> Course | None:
        """How busy its machines were while it ran; None where nothing was seen of it."""

    def subscribe(self, wake: Callable[[], None]) -> Callable[[], None]:
        """``wake`` is called, from any thread, after each commit and each arrival of log bytes. → unsubscribe."""

    def log_files(self, job_id: JobId, attempt: int | None) -> Mapping[str, Path]:
        """Process → its log so far on the head; ``None`` is the newest attempt."""

    def logs_complete(self, job_id: JobId, attempt: int) -> bool:
        """Everything the attempt wrote has arrived, or will never."""

    def discover(self, networks: Sequence[str], ports: Sequence[int], user: str) -> list[dict[str, Any]]: ...

    def scan(self, endpoint: Endpoint) -> dict[str, Any]:
        """``{host_key, fingerprint}`` or ``{problem}``."""

    def doctor(self, node: NodeId | None) -> list[dict[str, Any]]: ...

    def bench(self, nodes: Sequence[NodeId], force: bool, peers: int) -> Iterator[Mapping[str, Any]]:
        """``{node, phase, text}`` per step, until everything is measured and kept. Raises at the first step."""

    def dry_run(self, spec: JobSpec, array: Sequence[int], owner: str) -> dict[str, Any]: ...

    def next_starts(self) -> dict[str, Any]:
        """Who of the queue starts when, if nothing new comes."""

    def rules(self) -> Rules:
        """What its scheduler goes by, as the settings file says it."""

    def why(self, job_id: JobId) -> dict[str, Any]: ...

    def has_tree(self, digest: str) -> bool: ...

    def put_tree(self, digest: str, chunks: Iterator[bytes]) -> None:
        """``chunks`` of a tar. Raises `BadInput` when it is not the tree of that digest."""

    def outputs(self, job_id: JobId) -> Path | None:
        """The folder they came home to."""

    def let_go(self, job_id: JobId) -> str:
        """Why logs and outputs of the job are not here any more, as a sentence; "" where they were not removed."""

    def ssh_command(self, node: NodeId) -> list[str]: ...

    def beside(self, job: Job, rank: int, wish: Mapping[str, Any]) -> End:
        """A connection to what the rank listens at (``{"port"}``), or to a program beside it (``{"argv"}``)."""

    @property
    def rented(self) -> RentedHead: ...

    def shutdown(self) -> None:
        """Begins to end the daemon, and returns at once."""


class End(Protocol):
    """One end of a connection. Everything may block; one thread may read while another writes."""

    def read(self, size: int) -> bytes:
        """At least one byte, or ``b""`` at the end."""

    def write(self, data: bytes) -> object: ...

    def close_write(self) -> object: ...

    def close(self) -> object:
        """From any thread; a `read` that waits then ends."""


class RentedHead(Protocol):
    """What the head knows of rented machines besides its snapshot. Everything may block."""

    def clouds(self) -> list[dict[str, Any]]:
        """``{name, provider, listed_at, error, unwanted}`` of each configured one; ``listed_at`` 0: no list of it was
        seen yet; ``unwanted``: what is being ended because nobody wants it."""

    def collect(self, caller: Caller) -> list[dict[str, Any]]:
        """Has every cloud listed anew and waits for it, for a time. → `clouds`."""

    def offers(self) -> Sequence[Offer]:
        """What the configured clouds have on offer, by the head's catalogue."""

    def machines_since(self, since: float) -> list[Machine]:
        """Those that were there at ``since`` or later."""

    def month_cap_usd(self) -> float: ...

    def check(self, name: str) -> list[dict[str, Any]]:
        """``{cloud, what, ok, detail, remedy}`` per line; of all where no name is given."""
