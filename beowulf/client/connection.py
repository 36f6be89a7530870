"""HTTP over a unix socket, or over the pipes of ``ssh HEAD beowulf stdio``."""

from __future__ import annotations

import http.client
import os
import select
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from beowulf.model.errors import Forbidden, Unreachable

if TYPE_CHECKING:
    import subprocess

Dial: TypeAlias = Callable[[], socket.socket]


class Connection(http.client.HTTPConnection):
    """One connection made by ``dial``."""

    def __init__(self, dial: Dial) -> None:
        super().__init__("beowulf")
        self._dial = dial

    def connect(self) -> None:
        self.sock = self._dial()

    @property
    def usable(self) -> bool:
        """Nothing was heard while it was idle; the end of the stream would be."""
        return self.sock is not None and not select.select([self.sock], [], [], 0)[0]


def unix_dial(path: Path, timeout_s: float | None = None) -> Dial:
    def dial() -> socket.socket:
        end = socket.socket(socket.AF_UNIX)
        end.settimeout(timeout_s)
        try:
            end.connect(str(path))
        except OSError as error:
            end.close()
            if isinstance(error, PermissionError):
                raise Forbidden(f"{path}: {error.strerror}", hint="ask the head's admin for access") from error
            raise Unreachable(f"no head answers at {path} ({error.strerror or error})", hint="beowulf up") from error
        return end

    return dial


class SshDial:
    """Each connection is one ``ssh``; its own messages go to our standard error."""

    def __init__(self, host: str, command: tuple[str, ...] = ()) -> None:
        self._command = command or ("ssh", "-T", "--", host, "beowulf", "stdio")
        self._lock = threading.Lock()
        self._children: list[subprocess.Popen[bytes]] = []

    def __call__(self) -> socket.socket:
        import subprocess  # local: most commands never need it

        ours, theirs = socket.socketpair()
        try:
            child = subprocess.Popen(self._command, stdin=theirs.fileno(), stdout=theirs.fileno())
            with self._lock:
                self._children = [one for one in self._children if one.poll() is None] + [child]
        except OSError as error:
            ours.close()
            raise Unreachable(f"{self._command[0]} cannot be run: {error.strerror}") from error
        finally:
            theirs.close()
        return ours

    def close(self) -> None:
        """After the connections were closed: waits for each ``ssh`` to end, and ends those which do not."""
        import subprocess

        for child in self._children:
            try:
                child.wait(2.0)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._children = []


def default_socket() -> Path:
    """``$BEOWULF_HOME/api.sock``, else that below ``~/.local/state/beowulf``."""
    home = os.environ.get("BEOWULF_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state" / "beowulf") / "api.sock"
