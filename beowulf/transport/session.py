"""One link while it lives: frames in, frames out, and the moment after which nothing more is told of it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import paramiko

from beowulf.agent import wire
from beowulf.model.node import NodeId
from beowulf.transport.carrier import Carrier, Later
from beowulf.transport.diagnose import NO_INTERPRETER
from beowulf.transport.event import Beat, LinkEvent, LinkUp, Received
from beowulf.transport.frames import FrameReader
from beowulf.transport.problem import Problem, ProblemKind
from beowulf.transport.settings import LinkSettings

log = logging.getLogger(__name__)

CHUNK_BYTES = 32768 - 64  # what one SSH packet holds
TURN_BYTES = 1 << 18  # then it is another node's turn
FULL_RETRY_S = 0.02


class Session:
    """Made in the fleet's loop. ``receive`` runs in the connection's thread, ``post`` in anybody's."""

    def __init__(
        self,
        node: NodeId,
        generation: int,
        sink: Callable[[LinkEvent], None],
        on_up: Callable[[Session], None],
        settings: LinkSettings,
        later: Later,
    ) -> None:
        self._node = node
        self._generation = generation
        self._sink = sink
        self._on_up = on_up
        self._limit = settings.queue_bytes
        self._later = later
        self._frames = FrameReader()
        self._telling = threading.Lock()
        self._open = True
        self._busy = False
        self._sending = threading.Lock()
        self._waiting = bytearray()
        self._flush_due = False
        self._carrier: Carrier | None = None
        self._over = False
        self._owned: list[Callable[[], None]] = []
        self._pinged = (0, 0.0)  # number and moment of the last heartbeat
        self.up = False
        self.heard_at = time.monotonic()
        self.ended: asyncio.Future[Problem] = asyncio.get_running_loop().create_future()

    # in the fleet's loop

    def own(self, close: Callable[[], None]) -> None:
        """Something to close with the session, also while a handshake is still at work on it."""
        self._owned.append(close)

    def attach(self, carrier: Carrier, first_bytes: bytes, hello: Mapping[str, Any]) -> None:
        self.own(carrier.close)
        self._carrier = carrier
        self.heard_at = time.monotonic()
        self.post(first_bytes + wire.encode(dict(hello)))
        if self._over:
            self._explain()

    def close(self) -> None:
        """Nothing is delivered any more once this returns."""
        with self._telling:
            self._open = False
        for close in reversed(self._owned):
            close()

    def silence_s(self) -> float:
        """Seconds since the node was heard; none while the sink is still at work on what it said."""
        return 0.0 if self._busy else time.monotonic() - self.heard_at

    def forgive(self) -> None:
        """Count the silence from now on."""
        self.heard_at = time.monotonic()

    def end(self, kind: ProblemKind, sentence: str, hint: str = "") -> None:
        """From any thread; the first word counts."""

        def tell() -> None:
            if not self.ended.done():
                self.ended.set_result(Problem(kind, sentence, hint))

        self._later(0.0, tell)

    # in any thread

    def post(self, frame: bytes) -> bool:
        with self._sending:
            if not self._open or len(self._waiting) + len(frame) > self._limit:
                return False
            self._waiting += frame
            due, self._flush_due = self._flush_due, True
        if not due:
            self._later(0.0, self._flush)
        return True

    def ping(self) -> None:
        self._pinged = (self._pinged[0] + 1, time.monotonic())
        self.post(wire.encode({"type": "ping", "seq": self._pinged[0]}))

    def _flush(self) -> None:
        sent = 0
        while True:
            with self._sending:
                chunk = bytes(self._waiting[:CHUNK_BYTES])
                if not chunk or self._carrier is None or not self._open:
                    self._flush_due = False
                    return
            try:
                taken = self._carrier.write(chunk)
            except (OSError, EOFError, paramiko.SSHException):
                # The reader's end of it tells why; what waits is of no use.
                return
            with self._sending:
                del self._waiting[:taken]
            sent += taken
            if taken < len(chunk) or sent >= TURN_BYTES:
                self._later(0.0 if taken == len(chunk) else FULL_RETRY_S, self._flush)
                return

    # in the connection's thread

    def receive(self, piece: bytes) -> None:
        self._busy = True
        try:
            for header, payload in self._frames.feed(piece):
                self._take(header, payload)
        except wire.WireError as error:
            self.end(ProblemKind.AGENT_FAILED, f"the agent sent something that is no frame ({error})")
        finally:
            self.heard_at = time.monotonic()
            self._busy = False

    def _take(self, header: Mapping[str, Any], payload: bytes) -> None:
        kind = header.get("type")
        if kind == "refused":
            self.end(ProblemKind.REFUSED_EPOCH, f"the agent refused this head: {header.get('reason', '')}")
        elif kind == "welcome" and not self.up:
            self._tell(LinkUp(self._node, self._generation, header))
        elif not self.up:
            self.end(ProblemKind.AGENT_FAILED, f"the agent said {kind!r} before its welcome")
        elif kind == "pong":
            self._answered(header)
        else:
            self._tell(Received(self._node, self._generation, header, payload))

    def _answered(self, header: Mapping[str, Any]) -> None:
        sequence, at = self._pinged
        load = header.get("load")
        if header.get("seq") == sequence and isinstance(load, Mapping):  # a late one says nothing of the line
            counters = {str(name): count for name, count in load.items() if isinstance(count, int)}
            self._tell(Beat(self._node, self._generation, time.monotonic() - at, counters))

    def _tell(self, event: LinkEvent) -> None:
        with self._telling:
            if not self._open:
                return
            try:
                if isinstance(event, LinkUp):
                    self.up = True
                    self._on_up(self)  # before the sink, which may want to send
                self._sink(event)
            except Exception:
                log.exception("the sink failed on an event of %s", self._node)

    def stream_ended(self) -> None:
        self._later(0.0, self._explain)

    # in the fleet's loop again

    def _explain(self) -> None:
        """The stream is over: say why."""
        self._over = True
        if self._carrier is None:
            return
        code = self._carrier.exit_code()
        said = self._carrier.complaints() or self._frames.noise()
        last = f": {said.splitlines()[-1][:300]}" if said else ""
        ended = "the connection broke" if code is None else f"the agent ended with code {code}"
        if self.up:
            self.end(ProblemKind.LOST, ended + last)
        elif code in NO_INTERPRETER:
            self.end(
                ProblemKind.NO_PYTHON,
                f"no Python 3.6 or newer was found{last}",
                "install one there, e.g.: apt-get install python3",
            )
        else:
            self.end(ProblemKind.AGENT_FAILED, f"{ended} before its welcome{last}", "beowulf doctor NODE tells more")
