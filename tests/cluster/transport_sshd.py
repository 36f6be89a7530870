"""A real sshd on loopback for the transport's tests, a stand-in agent, and a sink to wait on."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from real_head import PATIENCE_S, reserved_port

from beowulf.agent import wire
from beowulf.model.node import Endpoint
from beowulf.transport import Fleet, KeyRing, LinkEvent, LinkSettings, SettingsFolder, generate_key, public_line
from beowulf.transport.reach import AgentSource

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
# Quick to try again, and patient with what takes its time on a busy machine: a test that waits for a loss, or for
# somebody who says nothing, names the limit it is about.
QUICK = LinkSettings(
    heartbeat_s=60.0,
    connect_s=60.0,
    banner_s=60.0,
    handshake_s=60.0,
    welcome_s=60.0,
    first_delay_s=0.1,
    longest_delay_s=0.5,
    first_mending_delay_s=0.3,
    longest_mending_delay_s=0.5,
)

Event = TypeVar("Event")

# Speaks the wire: welcome, pong, echo of everything else. Its source arrives on stdin like the real one's.
STAND_IN = r"""
import json, os, struct, sys
def read(n):
    data = b""
    while len(data) < n:
        piece = os.read(0, n - len(data))
        if not piece:
            sys.exit(0)
        data += piece
    return data
def write(header, payload=b""):
    text = json.dumps(header).encode()
    data = struct.pack(">II", len(text), len(payload)) + text + payload
    while data:
        data = data[os.write(1, data):]
while True:
    header_size, payload_size = struct.unpack(">II", read(8))
    header, payload = json.loads(read(header_size).decode()), read(payload_size)
    if header["type"] == "hello":
        if header["epoch"] < 1:
            write({"type": "refused", "reason": "an older head"})
            sys.exit(0)
        write({"type": "welcome", "wire": 1, "root": os.getcwd(), "pid": os.getpid(), "attempts": []})
    elif header["type"] == "ping":
        write({"type": "pong", "seq": header["seq"]})
    elif header["type"] == "exit":
        sys.stderr.write("told to end\n")
        sys.exit(3)
    elif header["type"] == "flood":
        for number in range(header["count"]):
            write({"type": "output", "number": number}, b"x" * header["size"])
    elif header["type"] == "sleep":
        import time
        time.sleep(header["seconds"])
    else:
        write(header, payload)
"""


def stand_in(noise: str = "", python: str = sys.executable) -> AgentSource:
    say = f"echo '{noise}'; " if noise else ""
    start = f"import os; exec(os.read(0, {len(STAND_IN)}))"
    return AgentSource(f'{say}exec {python} -I -S -c "{start}"', STAND_IN.encode())


class Sshd:
    """One server with its own host key and port. The person who runs the tests may enter with ``keys``."""

    def __init__(self, folder: Path, authorized: Path, *, host: str = "127.0.0.2", settings: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.host = host
        self._reserved = contextlib.ExitStack()
        self.port = self._reserved.enter_context(reserved_port(host))  # also while it is stopped
        self._authorized = authorized
        self.settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self.new_host_key()

    def new_host_key(self, kind: str = "ed25519") -> None:
        self._key = self.folder / f"host_key_{time.monotonic_ns()}"
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(self._key)], check=True)

    @property
    def host_key(self) -> str:
        return " ".join(Path(f"{self._key}.pub").read_text().split()[:2])

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.host, self.port, user=getpass.getuser())

    def start(self) -> Sshd:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        config = self.folder / "sshd_config"
        config.write_text(
            # A home of its own: the login scripts of whoever runs the tests have no part in them.
            f"{self.settings}\nSetEnv HOME={self.folder}\nHostKey {self._key}\n"
            f"Port {self.port}\nListenAddress {self.host}\n"
            f"AuthorizedKeysFile {self._authorized}\nPidFile none\nUsePAM no\nStrictModes no\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
            "MaxStartups 200\nPerSourceMaxStartups none\nLogLevel ERROR\n"
        )
        log = open(self.folder / "sshd.log", "ab")  # noqa: SIM115
        self._process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(config)], stderr=log)
        log.close()
        wait_until(lambda: _listens(self.host, self.port))
        return self

    def children(self) -> list[int]:
        """The processes that serve a connection each."""
        assert self._process
        path = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return [int(word) for word in path.read_text().split()]

    def kill_children(self) -> None:
        for pid in self.children():
            with contextlib.suppress(ProcessLookupError):  # it ended by itself
                os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        self.stop()
        self._reserved.close()

    def stop(self) -> None:
        if self._process:
            self.kill_children()
            self._process.terminate()
            self._process.wait()
            self._process = None


class Watcher:
    """A sink that remembers, to wait on."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.events: list[LinkEvent] = []

    def __call__(self, event: LinkEvent) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def wait_for(
        self,
        kind: type[Event],
        node: str = "n1",
        *,
        after: int = 0,
        wanted: Callable[[Event], bool] = lambda event: True,
    ) -> Event:
        """The first such event at or after position ``after``."""
        found: list[Event] = []

        def there() -> bool:
            found[:] = [
                event
                for event in self.events[after:]
                if isinstance(event, kind) and event.node == node and wanted(event)  # type: ignore[attr-defined]
            ]
            return bool(found)

        with self._changed:
            assert self._changed.wait_for(there, timeout=PATIENCE_S), (
                f"no {kind.__name__} of {node} in {self.events[-5:]}"
            )
        return found[0]

    def of(self, node: str) -> list[LinkEvent]:
        with self._changed:
            return [event for event in self.events if event.node == node]


class Ground:
    """A folder with a cluster key, an empty ~/.ssh, and whatever was started in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        (self.home / ".ssh").mkdir(parents=True)
        self.key = folder / "id_ed25519"
        generate_key(self.key)
        self.authorized = folder / "authorized_keys"
        self.authorized.write_text(public_line(self.key) + "\n")
        self.keys = KeyRing(self.key, home=self.home, use_agent=False)
        self.ssh = SettingsFolder(self.home)
        self.closing: list[Callable[[], None]] = []  # the last one comes first, whatever became of another

    def sshd(self, name: str = "sshd", *, settings: str = "", host: str = "127.0.0.2") -> Sshd:
        server = Sshd(self.folder / name, self.authorized, host=host, settings=settings).start()
        self.closing.append(server.close)
        return server

    def fleet(self, watcher: Watcher, *, epoch: int = 1, agent: AgentSource | None = None, **changes: Any) -> Fleet:
        fleet = Fleet(
            watcher,
            cluster="lab",
            epoch=epoch,
            keys=self.keys,
            settings=replace(QUICK, **changes),
            ssh=self.ssh,
            agent=agent or stand_in(),
        )
        self.closing.append(fleet.close)
        return fleet

    def close(self) -> None:
        with contextlib.ExitStack() as stack:
            for close in self.closing:
                stack.callback(close)


def wait_until(true: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < give_up, f"waited for {PATIENCE_S:g} s"
        time.sleep(0.02)


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def echo(number: int) -> Mapping[str, Any]:
    return {"type": "echo", "number": number}


__all__ = ["Ground", "Sshd", "Watcher", "echo", "stand_in", "wait_until", "wire"]
