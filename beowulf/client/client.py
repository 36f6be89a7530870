"""`Client`: one method per request the head takes. Answers are its JSON objects, errors `model.errors`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from beowulf.client import logs
from beowulf.client.connection import Dial, SshDial, default_socket, unix_dial
from beowulf.client.exchange import Exchange, Lost, json_lines
from beowulf.client.logs import LogChunk
from beowulf.model.errors import NotFound, Unreachable

if TYPE_CHECKING:  # importing it costs a command more than asking the head does
    from beowulf.model.job import JobSpec
    from beowulf.model.node import Endpoint

PATIENCE_S = 30.0


class Client:
    """For any thread. ``patience_s``: how long `submit` and `follow` wait for a head that went away meanwhile."""

    def __init__(self, socket_path: Path | str, *, patience_s: float = PATIENCE_S) -> None:
        self._begin(unix_dial(Path(socket_path)), patience_s)

    def _begin(self, dial: Dial, patience_s: float) -> None:
        self._dial = dial
        self._patience_s = patience_s
        self._exchange = Exchange(dial)

    @classmethod
    def find(cls) -> Client:
        """The head of this user: ``$BEOWULF_HOME``, else the usual place."""
        return cls(default_socket())

    @classmethod
    def over_ssh(cls, host: str, *, command: Sequence[str] = ()) -> Client:
        """The head on ``user@host``, as that user there. ``command`` instead of ``ssh HOST beowulf stdio``."""
        client = cls.__new__(cls)
        client._begin(SshDial(host, tuple(command)), PATIENCE_S)
        return client

    def close(self) -> None:
        self._exchange.close()
        if isinstance(self._dial, SshDial):
            self._dial.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # the head

    def ping(self) -> dict[str, Any]:
        return self._exchange.json("GET", "/v1/ping")

    def shutdown(self) -> None:
        self._exchange.json("POST", "/v1/shutdown")

    def metrics(self) -> str:
        """The cluster's figures in the OpenMetrics format."""
        return b"".join(self._exchange.pieces("GET", "/v1/metrics")).decode()

    def doctor(self, node: str = "") -> list[dict[str, Any]]:
        return _list(self._exchange.json("GET", "/v1/doctor", {"node": node}), "findings")

    def events(
        self, after: int = 0, *, limit: int = 0, job_id: str = "", follow: bool = False
    ) -> Iterator[dict[str, Any]]:
        query = {"after": after, "limit": limit, "job": job_id, "follow": follow and 1}
        return json_lines(self._exchange.pieces("GET", "/v1/events", query))

    def changes(self, after: int = 0, *, ended: int | None = None) -> Iterator[dict[str, Any]]:
        """Everything first (or what changed since ``after``), then each change; ``api/changes.py`` has a line's keys.

        Never ends by itself, and says something every two seconds. Raises `Unreachable` when the head went away.
        """
        query = {"after": after, "ended": _count(ended)}
        return json_lines(self._exchange.pieces("GET", "/v1/changes", query))

    # jobs

    def submit(self, spec: JobSpec | Mapping[str, Any], array: Sequence[int] = (), *, key: str = "") -> str:
        """The job's id. Safe to repeat with the same ``key``, and repeated here when the connection is lost."""
        body = {"spec": _plain(spec), "array": list(array), "key": key or os.urandom(16).hex()}
        deadline = 0.0
        while True:
            try:
                return str(self._exchange.json("POST", "/v1/jobs", body=body)["job_id"])
            except Unreachable as error:
                if not deadline and not isinstance(error, Lost):  # there was no head to begin with
                    raise
                deadline = deadline or time.monotonic() + self._patience_s
                if time.monotonic() >= deadline:
                    raise
                time.sleep(logs.RETRY_S)

    def dry_run(self, spec: JobSpec | Mapping[str, Any], array: Sequence[int] = ()) -> dict[str, Any]:
        return self._exchange.json("POST", "/v1/plan", body={"spec": _plain(spec), "array": list(array)})

    def jobs(self, *, state: str = "", owner: str = "", name: str = "", limit: int = 0) -> list[dict[str, Any]]:
        """Summaries, oldest first. ``state``: words with commas between, or ``live``; ``limit`` keeps the newest."""
        query = {"state": state, "owner": owner, "name": name, "limit": limit}
        return _list(self._exchange.json("GET", "/v1/jobs", query), "jobs")

    def job(self, job_id: str) -> dict[str, Any]:
        """The job whole; for an array's id ``{"id", "tasks": [summaries]}``."""
        return self._exchange.json("GET", _job(job_id))

    def cancel(self, job_id: str) -> list[str]:
        return [str(name) for name in self._exchange.json("POST", f"{_job(job_id)}/cancel")["cancelled"]]

    def why(self, job_id: str) -> dict[str, Any]:
        return self._exchange.json("GET", f"{_job(job_id)}/why")

    def reports(
        self, job_id: str, *, attempt: int = 0, after: int = 0, limit: int = 0, last: int = 0
    ) -> list[dict[str, Any]]:
        """Oldest first; with ``last`` only the newest so many."""
        query = {"attempt": attempt or None, "after": after, "limit": limit or None, "last": last or None}
        return _list(self._exchange.json("GET", f"{_job(job_id)}/reports", query), "reports")

    def latest_reports(self, job_id: str, *, attempt: int = 0) -> list[dict[str, Any]]:
        """The last one of each rank, by rank."""
        query = {"attempt": attempt or None, "latest": 1}
        return _list(self._exchange.json("GET", f"{_job(job_id)}/reports", query), "reports")

    def values(self, job_id: str) -> list[dict[str, Any]]:
        """Of an array: its tasks' summaries, each with the last ``values`` it reported."""
        return _list(self._exchange.json("GET", f"{_job(job_id)}/values"), "tasks")

    def logs(
        self, job_id: str, *, process: str = "", attempt: int = 0, offset: int = 0, tail: int | None = None
    ) -> Iterator[LogChunk]:
        """What there is now, process by process; of the newest attempt unless one is named."""
        query = {"process": process, "attempt": attempt or None, "offset": offset or None, "tail": _count(tail)}
        return logs.read(self._exchange, f"{_job(job_id)}/logs", query)

    def follow(
        self, job_id: str, *, process: str = "", attempt: int = 0, tail: int | None = None
    ) -> Iterator[LogChunk]:
        """As it comes until the job has ended, through later attempts and restarts of the head."""
        query = {"process": process, "attempt": attempt or None, "tail": _count(tail)}
        return logs.follow(self._exchange, f"{_job(job_id)}/logs", query, self._patience_s)

    def tail_logs(self, job_id: str, tail: int, *, process: str = "") -> list[tuple[str, str]]:
        """The last ``tail`` lines of each process as ``(process, line)``."""
        return logs.last_lines(self.logs(job_id, process=process, tail=tail))

    def outputs(self, job_id: str, into: Path | str) -> list[str]:
        """Unpacks what the job brought home below ``into``. → the paths, relative to it."""
        from beowulf.client.unpack import unpack

        return unpack(self._exchange.pieces("GET", f"{_job(job_id)}/outputs"), Path(into))

    # folders

    def has_tree(self, digest: str) -> bool:
        try:
            self._exchange.json("HEAD", f"/v1/trees/{_quoted(digest)}")
        except NotFound:
            return False
        return True

    def put_tree(self, digest: str, chunks: Iterable[bytes]) -> None:
        for _ in self._exchange.pieces("PUT", f"/v1/trees/{_quoted(digest)}", body=chunks):
            pass

    def hand_in(self, source: Path | str) -> dict[str, Any]:
        """Packs a folder or file and sends it unless the head has it. → the fields of a `Tree`."""
        from beowulf.client.pack import pack

        packed = pack(Path(source))
        if not self.has_tree(packed.digest):
            self.put_tree(packed.digest, packed.chunks())
        return {
            "digest": packed.digest,
            "size_bytes": packed.size_bytes,
            "files": packed.files,
            "source": str(Path(source).absolute()),
        }

    # nodes

    def nodes(self) -> list[dict[str, Any]]:
        return _list(self._exchange.json("GET", "/v1/nodes"), "nodes")

    def node(self, name: str) -> dict[str, Any]:
        return self._exchange.json("GET", _node(name))

    def add_node(self, name: str, endpoint: Endpoint | Mapping[str, Any], host_key: str = "", **settings: Any) -> str:
        """``settings``: groups, tags, site, max_cpus, max_memory_mib, share_gpus, share_between_users."""
        body = {"node": name, "endpoint": _plain(endpoint), "host_key": host_key, **settings}
        return str(self._exchange.json("POST", "/v1/nodes", body=body)["node"])

    def remove_node(self, name: str) -> None:
        self._exchange.json("DELETE", _node(name))

    def drain(self, name: str, reason: str) -> None:
        self._exchange.json("POST", f"{_node(name)}/drain", body={"reason": reason})

    def resume(self, name: str) -> None:
        self._exchange.json("POST", f"{_node(name)}/resume")

    def rekey(self, name: str, host_key: str) -> None:
        self._exchange.json("POST", f"{_node(name)}/rekey", body={"host_key": host_key})

    def ssh_command(self, name: str) -> list[str]:
        return [str(part) for part in self._exchange.json("GET", f"{_node(name)}/ssh")["argv"]]

    def discover(
        self, networks: Sequence[str], *, ports: Sequence[int] = (22,), user: str = ""
    ) -> list[dict[str, Any]]:
        body = {"networks": list(networks), "ports": list(ports), "user": user}
        return _list(self._exchange.json("POST", "/v1/nodes/discover", body=body), "found")

    def bench(self, names: Sequence[str] = (), *, force: bool = False, peers: int = 8) -> Iterator[dict[str, Any]]:
        """Measures nodes, or all: ``{node, phase, text}`` per step, as it happens."""
        body = json.dumps({"nodes": list(names), "force": force, "peers": peers}).encode()
        return json_lines(self._exchange.pieces("POST", "/v1/nodes/bench", body=(body,)))

    def scan(self, endpoint: Endpoint | Mapping[str, Any]) -> dict[str, Any]:
        return self._exchange.json("POST", "/v1/nodes/scan", body={"endpoint": _plain(endpoint)})

    # rented machines

    def machines(self, *, every: bool = False) -> dict[str, Any]:
        """``{machines, clouds}``; with ``every`` also those that are gone."""
        return self._exchange.json("GET", "/v1/cloud/machines", {"all": every and 1})

    def collect(self) -> dict[str, Any]:
        """Has every cloud listed anew. → ``{machines, clouds}``: those that live after it."""
        return self._exchange.json("POST", "/v1/cloud/collect")

    def terminate(self, machine: str, *, at_once: bool = False) -> str:
        """→ its state then."""
        path = f"/v1/cloud/machines/{_quoted(machine)}/terminate"
        return str(self._exchange.json("POST", path, body={"at_once": at_once})["state"])

    def offers(self) -> list[dict[str, Any]]:
        """What the head may rent, the cheapest first."""
        return _list(self._exchange.json("GET", "/v1/cloud/offers"), "offers")

    def cost(self, *, month: str = "", by: str = "") -> dict[str, Any]:
        """``{month, by, lines, cost_usd, committed_usd, cap_usd}``; of this month, by user, unless told otherwise."""
        return self._exchange.json("GET", "/v1/cloud/cost", {"month": month, "by": by})

    def check_clouds(self, name: str = "") -> list[dict[str, Any]]:
        return _list(self._exchange.json("GET", "/v1/cloud/check", {"cloud": name}), "checks")


def _plain(value: Any) -> Any:
    """Frozen values as the dicts JSON takes; what is a dict already stays one."""
    if isinstance(value, Mapping):
        return value
    from dataclasses import asdict  # who has a dataclass has paid for this import

    return asdict(value)


def _list(answer: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answer[name]
    return found


def _count(number: int | None) -> str | None:
    return None if number is None else str(number)  # 0 is a number too, and means none


def _job(job_id: str) -> str:
    return f"/v1/jobs/{_quoted(job_id)}"


def _node(name: str) -> str:
    return f"/v1/nodes/{_quoted(name)}"


def _quoted(text: str) -> str:
    return quote(text, safe="") or "-"
