"""One attempt as the link sees it: its folder, its keeper while there is one, and what the head was told."""

import os
import socket
from typing import Any, Callable, Dict, List, Optional

from beowulf.agent import identity, wire
from beowulf.agent.channel import Channel
from beowulf.agent.folder import SOCKET, AttemptFolder, read_record
from beowulf.agent.follow import Logs, Reports
from beowulf.agent.loop import Loop

_LISTEN_BACKLOG = 64
FORWARDED = ("spawn", "spawn_kill", "spawn_exit", "spawn_output")


class Ward:
    """``send(header, payload)`` goes to the head; ``orphaned(ward)`` is called when the keeper is gone unheard."""

    def __init__(
        self, loop: Loop, folder: AttemptFolder, send: Callable[..., None], orphaned: Callable[["Ward"], None]
    ) -> None:
        self.loop = loop
        self.folder = folder
        self.tag = folder.tag
        self._send = send
        self._orphaned = orphaned
        self.phase = ""
        self.keeper: Optional[Channel] = None
        self.pids: Dict[str, int] = {}
        self.exits: List[Dict[str, Any]] = []
        self.ranks: Dict[str, Any] = {}
        self.cleared: Optional[Dict[str, Any]] = None
        self.port: Optional[socket.socket] = None
        self.logs = Logs(folder, send)
        self.reports = Reports(folder, send)
        self.on_state: Optional[Callable[[], None]] = None
        self.after_news: Optional[Callable[["Ward"], None]] = None
        self.may_send: Callable[[], bool] = lambda: True
        self.forget_when_cleared = False

    @property
    def known(self) -> bool:
        """Whether a start was heard for it."""
        return self.phase not in ("", "prepared") or self.keeper is not None

    def emit(self, header: wire.Header, payload: bytes = b"") -> None:
        self._send(dict(header, attempt=self.tag), payload)

    def listing(self) -> Dict[str, Any]:
        """Its line in ``welcome``."""
        return {
            "attempt": self.tag,
            "phase": self.phase,
            "spool": self.folder.spool_sizes(),
            "exit": self.cleared,
        }

    def repeat(self) -> None:
        """Every event so far, for a head that may have missed them."""
        if self.phase == "holding":
            self.emit({"type": "ready"})
        if self.pids:
            self.emit({"type": "running", "pids": self.pids})
        for record in self.exits:
            self.emit(dict(record, type="exited"))
        if self.cleared is not None:
            self._emit_cleared()

    def _emit_cleared(self) -> None:
        self.reports.look(self.ranks, lambda: True, at_once=True)
        self.emit(dict(self.cleared or {}, type="cleared"))

    # The keeper ----------------------------------------------------------------------------------------------

    def listen(self) -> socket.socket:
        """The keeper's socket, bound before the keeper exists: who can connect need not ask whether it is there yet."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        folder = os.open(self.folder.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if os.path.lexists(self.folder.socket):
                os.unlink(self.folder.socket)
            # Socket addresses are short; the folder's descriptor makes any path fit.
            listener.bind("/proc/self/fd/{}/{}".format(folder, SOCKET))
            os.chmod(self.folder.socket, 0o700)
            listener.listen(_LISTEN_BACKLOG)
        except OSError:
            listener.close()
            raise
        finally:
            os.close(folder)
        return listener

    def connect(self) -> bool:
        """Whether a living keeper was found; its state follows."""
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            folder = os.open(self.folder.path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return False
        try:
            line.connect("/proc/self/fd/{}/{}".format(folder, SOCKET))
        except OSError:
            line.close()
            return False
        finally:
            os.close(folder)
        self.attach(line.detach())
        self.to_keeper({"type": "attach"})
        return True

    def attach(self, descriptor: int) -> None:
        self.keeper = Channel(self.loop, descriptor, descriptor, self._from_keeper, self._keeper_gone)

    def to_keeper(self, header: wire.Header, payload: bytes = b"") -> bool:
        if self.keeper is None:
            return False
        self.keeper.send(header, payload)
        return True

    def _keeper_gone(self, reason: str) -> None:
        self.keeper = None
        if self.cleared is None and not self.read_exit():
            self._orphaned(self)

    def read_exit(self) -> bool:
        """Takes the exit record from the disk and tells it, if there is one and it was not told yet."""
        if self.cleared is None:
            record = read_record(self.folder.exit)
            if record is None:
                return False
            told = {exit["process"] for exit in self.exits}
            for exit in record.get("exits", []):
                if exit["process"] not in told:
                    self.exits.append(exit)
                    self.emit(dict(exit, type="exited"))
            self._over(record)
            if self.after_news is not None:
                self.after_news(self)  # the keeper's last words may be lost with its line: the log must go all the same
        return True

    def _over(self, record: Dict[str, Any]) -> None:
        self.phase = "cleared"
        self.cleared = record
        self.logs.grown(self.folder.spool_sizes())
        self._emit_cleared()

    def _from_keeper(self, header: wire.Header, payload: bytes) -> None:
        self._take(header, payload)
        if self.after_news is not None:
            self.after_news(self)

    def _take(self, header: wire.Header, payload: bytes) -> None:
        kind = header["type"]
        if kind == "grown":
            self.logs.grown(header["sizes"])
        elif kind in FORWARDED:
            # A head that does not read must not fill our memory; the daemon's log has what it wrote.
            if kind != "spawn_output" or self.may_send():
                self.emit(header, payload)
        elif kind == "state":
            self._take_state(header)
        elif kind == "ready":
            self.phase = "holding"
            self.emit(header)
        elif kind == "running":
            self.phase = "running"
            self.pids = header["pids"]
            self.emit(header)
        elif kind == "exited":
            self.exits.append({key: value for key, value in header.items() if key != "type"})
            self.emit(header)
        elif kind == "cleared" and self.cleared is None:
            self._over({key: value for key, value in header.items() if key != "type"})

    def _take_state(self, header: wire.Header) -> None:
        self.phase = header["phase"]
        self.pids = header["pids"]
        self.exits = header["exits"]
        self.logs.grown(header["sizes"])
        if self.on_state is not None:
            then, self.on_state = self.on_state, None
            then()

    def read_intent(self) -> Optional[Dict[str, Any]]:
        intent = read_record(self.folder.intent)
        if intent is not None:
            self.ranks = intent.get("ranks", {})
        return intent

    def keeper_identity(self, role: str) -> Optional[identity.Identity]:
        """Of ``keeper`` or ``watcher``, as the keeper wrote it down."""
        state = read_record(self.folder.state)
        return identity.from_json(state[role]) if state and role in state else None

    def close_port(self) -> None:
        if self.port is not None:
            self.port.close()
            self.port = None
