"""A head without nodes: snapshots by the real `apply`, events in a list, logs in a folder."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from beowulf.controller.commands import AddNode, Caller, Cancel, Command, DrainNode, Submit
from beowulf.model import event as ev
from beowulf.model.apply import apply
from beowulf.model.cloud import Machine, Offer
from beowulf.model.codec import encode_event
from beowulf.model.errors import BadInput, BeowulfError, Forbidden, Refused
from beowulf.model.job import Job, JobSpec
from beowulf.model.market import MarketRules
from beowulf.model.node import Endpoint
from beowulf.model.rules import Rules
from beowulf.model.snapshot import Snapshot
from beowulf.probe import Course, Load
from beowulf.store import StoredEvent, StoredReport
from beowulf.store.touched import job_of, node_of


class Echo:
    """The far end of a connection: what is written comes back, and after half a goodbye `` bye`` and the end."""

    def __init__(self) -> None:
        self.far, self._near = socket.socketpair()
        self.closed = threading.Event()

    def write(self, data: bytes) -> None:
        self._near.sendall(data)

    def close_write(self) -> None:
        self.write(b" bye")
        self._near.shutdown(socket.SHUT_WR)

    def read(self, size: int) -> bytes:
        return self.far.recv(size)

    def close(self) -> None:
        self.far.shutdown(socket.SHUT_RDWR)
        self.closed.set()


class FakeHead:
    cluster, epoch, version = "lab", 3, "0.1.0"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = Snapshot()
        self.stored: list[StoredEvent] = []
        self.commands: list[Command] = []
        self.wakes: list[Callable[[], None]] = []
        self.complete = True
        self.measured: list[tuple[str, Load]] = []
        self.moving: list[dict[str, Any]] = []
        self.reasons: dict[str, str] = {}
        self.trees: dict[str, bytes] = {}
        self.kept_reports: list[StoredReport] = []
        self.ended = threading.Event()
        self.courses: dict[tuple[str, int], Course] = {}
        self.wishes: list[tuple[str, int, dict[str, Any]]] = []
        self.echoes: list[Echo] = []
        self.removed: dict[str, str] = {}  # by job: why what it left is not there any more

    def happen(self, event: ev.Event) -> None:
        self.state = apply(self.state, event)
        kind, body = encode_event(event)
        stored = StoredEvent(len(self.stored) + 1, event.at, kind, job_of(event), node_of(event), body)
        self.stored.append(stored)
        self.wake()

    def wake(self) -> None:
        for wake in list(self.wakes):
            wake()

    def write(self, job_id: str, attempt: int, process: str, data: bytes) -> None:
        path = self.folder / job_id / str(attempt) / f"{process}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(data)
        self.wake()

    # the protocol

    def snapshot(self) -> Snapshot:
        return self.state

    def position(self) -> int:
        return len(self.stored)

    def loads(self, since: int) -> tuple[int, dict[str, list[Load]]]:
        return len(self.measured), {node: [load] for node, load in self.measured[since:]}

    def transfers(self) -> list[dict[str, Any]]:
        return self.moving

    def metrics(self) -> tuple[bytes, str]:
        return b"# EOF\n", "application/openmetrics-text; version=1.0.0"

    def ask(self, command: Command) -> Future[Any]:
        self.commands.append(command)
        answer: Future[Any] = Future()
        try:
            answer.set_result(self._do(command))
        except BeowulfError as error:
            answer.set_exception(error)
        return answer

    def _do(self, command: Command) -> Any:
        match command:
            case Submit():
                known = self.state.keys.get(command.key)
                if known:
                    if known[1] != command.key_digest:
                        raise Refused(f"key {command.key} was used for another request")
                    return known[0]
                number, caller = self.state.next_number, command.caller
                job = (str(number), number, command.spec, caller.user, caller.uid, command.array)
                self.happen(ev.JobSubmitted(float(number), *job, command.key, command.key_digest))
                return str(number)
            case Cancel():
                job_found = self.state.jobs[command.job_id]
                if not command.caller.admin and command.caller.uid != job_found.uid:
                    raise Forbidden(f"job {job_found.id} is {job_found.owner}'s")
                self.happen(ev.CancelRequested(2.0, command.job_id, command.caller.user))
                return [command.job_id]
            case AddNode():
                self.happen(ev.NodeAdded(1.0, command.node, command.endpoint, command.host_key, command.groups))
                return command.node
            case DrainNode():
                self.happen(ev.NodeDrained(1.0, command.node, command.reason))
                return None
            case _:
                return None

    def beside(self, job: Job, rank: int, wish: Mapping[str, Any]) -> Echo:
        self.wishes.append((job.id, rank, dict(wish)))
        if wish.get("port") == 1:
            raise Refused("it does not listen at port 1")
        self.echoes.append(Echo())
        return self.echoes[-1]

    def events(self, after: int, limit: int, job_id: str) -> list[StoredEvent]:
        return [event for event in self.stored if event.seq > after and job_id in ("", event.job_id)][:limit]

    def reports(self, job_id: str, attempt: int, after: int, limit: int) -> list[StoredReport]:
        return self.kept_reports

    @property
    def rented(self) -> FakeHead:
        return self

    def clouds(self) -> list[dict[str, Any]]:
        return [{"name": "aws", "provider": "aws", "listed_at": 5.0, "error": "", "unwanted": 0}]

    def collect(self, caller: Caller) -> list[dict[str, Any]]:
        return self.clouds()

    def offers(self) -> list[Offer]:
        return [
            Offer("aws", "us-east-1", "", "g4dn.xlarge", 4, 16384, "T4", 1, hourly_usd=0.526),
            Offer("aws", "us-east-1", "", "t3.large", 2, 8192, hourly_usd=0.0832),
        ]

    def machines_since(self, since: float) -> list[Machine]:
        return list(self.state.machines.values())

    def month_cap_usd(self) -> float:
        return 50.0

    def check(self, name: str) -> list[dict[str, Any]]:
        return [{"cloud": "aws", "what": "credentials", "ok": False, "detail": "none", "remedy": "aws configure"}]

    def warning(self, job_id: str) -> str:
        return ""

    def reason(self, job: Job) -> str:
        return self.reasons.get(job.id, job.reason)

    def latest_reports(self, job_id: str, attempt: int) -> list[StoredReport]:
        return self.kept_reports[-1:]

    def last_reports(self, job_id: str, attempt: int, limit: int) -> list[StoredReport]:
        return self.kept_reports[-limit:]

    def course(self, job_id: str, attempt: int) -> Course | None:
        return self.courses.get((job_id, attempt))

    def last_values(self, number: int) -> dict[str, dict[str, Any]]:
        return {report.job_id: dict(report.body) for report in self.kept_reports}

    def subscribe(self, wake: Callable[[], None]) -> Callable[[], None]:
        self.wakes.append(wake)
        return lambda: self.wakes.remove(wake)

    def log_files(self, job_id: str, attempt: int | None) -> dict[str, Path]:
        folder = self.folder / job_id / str(attempt or len(self.state.jobs[job_id].attempts))
        return {path.stem: path for path in folder.glob("*.log")}

    def let_go(self, job_id: str) -> str:
        return self.removed.get(job_id, "")

    def logs_complete(self, job_id: str, attempt: int) -> bool:
        return self.complete

    def discover(self, networks: Sequence[str], ports: Sequence[int], user: str) -> list[dict[str, Any]]:
        return [{"address": network, "port": ports[0], "user": user} for network in networks]

    def scan(self, endpoint: Endpoint) -> dict[str, Any]:
        return {"host_key": "ssh-ed25519 AAAA", "fingerprint": f"SHA256:{endpoint.host}"}

    def doctor(self, node: str | None) -> list[dict[str, Any]]:
        return [{"node": node, "what": "fine"}]

    def bench(self, nodes: Sequence[str], force: bool, peers: int) -> Iterator[dict[str, Any]]:
        yield from ({"node": node, "phase": "measured", "text": f"{force} {peers}"} for node in nodes)

    def dry_run(self, spec: JobSpec, array: Sequence[int], owner: str) -> dict[str, Any]:
        return {"name": spec.name, "tasks": len(array), "owner": owner}

    def next_starts(self) -> dict[str, Any]:
        return {"now": 1.0, "starts": [], "waiting": len(self.state.pending)}

    def rules(self) -> Rules:
        offer = Offer("aws", "us-east-1", "", "t3.large", 2, 8192, hourly_usd=0.0832)
        return Rules("short", shares={"ann": 2.0}, market=MarketRules(offers=(offer,)))

    def why(self, job_id: str) -> dict[str, Any]:
        return {"sentence": f"{job_id} needs 4 GPUs, 1 free"}

    def has_tree(self, digest: str) -> bool:
        return digest in self.trees

    def put_tree(self, digest: str, chunks: Iterator[bytes]) -> None:
        if digest == "bad":
            next(chunks)
            raise BadInput("the packed folder is not what was announced")
        self.trees[digest] = b"".join(chunks)

    def outputs(self, job_id: str) -> Path | None:
        folder = self.folder / "outputs" / job_id
        return folder if folder.exists() else None

    def ssh_command(self, node: str) -> list[str]:
        return ["ssh", node]

    def shutdown(self) -> None:
        self.ended.set()
