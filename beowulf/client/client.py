"""`Client`: one method per request the head takes. Answers are its JSON objects, errors `model.errors`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from beowulf.client.connection import Dial, SshDial, default_socket, unix_dial
from beowulf.client.exchange import Exchange, json_lines
from beowulf.client.jobs import JobRequests
from beowulf.client.nodes import NodeRequests
from beowulf.client.paths import count, listed

PATIENCE_S = 30.0


class Client(JobRequests, NodeRequests):
    """A head, asked synchronously; for any thread::

        with Client.find() as client:
            job_id = client.submit({"run": "python train.py", "workdir": "."})
            print(client.wait(job_id)["word"])

    ``patience_s``: how long `submit`, `wait` and `follow` wait for a head that went away meanwhile. Every error is a
    `BeowulfError`: `BadInput`, `NotFound`, `Refused`, `Unreachable`.
    """

    def __init__(
        self, socket_path: Path | str, *, patience_s: float = PATIENCE_S, timeout_s: float | None = None
    ) -> None:
        """``timeout_s``: of each wait for the head's next bytes; without it as long as it takes."""
        self._begin(unix_dial(Path(socket_path), timeout_s), patience_s)

    def _begin(self, dial: Dial, patience_s: float) -> None:
        self._dial = dial
        self._patience_s = patience_s
        self._exchange = Exchange(dial)

    @classmethod
    def find(cls, *, timeout_s: float | None = None) -> Client:
        """The head of this user: ``$BEOWULF_HOME``, else the usual place."""
        return cls(default_socket(), timeout_s=timeout_s)

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
        """``{cluster, epoch, version, user, admin}``: who answers, and who asks."""
        return self._exchange.json("GET", "/v1/ping")

    def rules(self) -> dict[str, Any]:
        """What the head's scheduler goes by: `beowulf.model.rules.Rules` as a dict, without its market."""
        found: dict[str, Any] = self._exchange.json("GET", "/v1/rules")["rules"]
        return found

    def shutdown(self) -> None:
        """Ends the head's daemon; jobs go on."""
        self._exchange.json("POST", "/v1/shutdown")

    def metrics(self) -> str:
        """The cluster's figures in the OpenMetrics format."""
        return b"".join(self._exchange.pieces("GET", "/v1/metrics")).decode()

    def doctor(self, node: str = "") -> list[dict[str, Any]]:
        """What is wrong with the nodes, and what mends it: ``{node, severity, what, why, mend}`` each."""
        return listed(self._exchange.json("GET", "/v1/doctor", {"node": node}), "findings")

    def events(
        self, after: int = 0, *, limit: int = 0, job_id: str = "", follow: bool = False
    ) -> Iterator[dict[str, Any]]:
        """What happened, in order; with ``follow`` without an end."""
        query = {"after": after, "limit": limit, "job": job_id, "follow": follow and 1}
        return json_lines(self._exchange.pieces("GET", "/v1/events", query))

    def changes(self, after: int = 0, *, ended: int | None = None) -> Iterator[dict[str, Any]]:
        """Everything first (or what changed since ``after``), then each change; ``api/changes.py`` has a line's keys.

        Never ends by itself, and says something every two seconds. Raises `Unreachable` when the head went away.
        """
        query = {"after": after, "ended": count(ended)}
        return json_lines(self._exchange.pieces("GET", "/v1/changes", query))
