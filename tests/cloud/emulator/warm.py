"""Hosts out of one warm interpreter: `init` is started once, and forks."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

INIT = Path(__file__).with_name("init.py")


@dataclass(frozen=True)
class Standing:
    """A host's first process, furnished and without power. ``started``: in clock ticks, which tells it from a later one
    with its number."""

    pid: int
    started: str
    power: int

    def switch_on(self) -> None:
        os.write(self.power, b"on")
        os.close(self.power)

    def give_up(self) -> None:
        os.close(self.power)
        end(self.pid, self.started)


class Warm:
    """Ends with this process; the hosts do not, once they have power."""

    def __init__(self) -> None:
        self._making = threading.Lock()
        self._orders: socket.socket | None = None

    def host(self, order: Path) -> Standing:
        """Raises RuntimeError with what the host complained of."""
        said, says = os.pipe()
        powered, power = os.pipe()
        try:
            socket.send_fds(self._started(), [str(order).encode()], [says, powered])
        finally:
            os.close(says)
            os.close(powered)
        with os.fdopen(said) as told:
            lines = told.read().splitlines()
        known = next((line.split()[1:] for line in lines if line.startswith("host ")), None)
        if known and "furnished" in lines:
            return Standing(int(known[0]), known[1], power)
        os.close(power)
        raise RuntimeError("; ".join(lines) or "its first process ended without a word")

    def _started(self) -> socket.socket:
        with self._making:
            if self._orders is None:
                self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                python = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable
                with theirs:
                    subprocess.Popen((python, "-I", "-S", "-B", str(INIT)), stdin=theirs, cwd="/")
            return self._orders


def lives(pid: int, started: str) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return False
    return fields[19] == started and fields[0] not in "ZX"


def end(pid: int, started: str) -> None:
    """Every process of the host dies at once: its first process holds the PID namespace."""
    if lives(pid, started):
        with contextlib.suppress(ProcessLookupError):  # it went down by itself
            os.kill(pid, signal.SIGKILL)
    while lives(pid, started):
        time.sleep(0.005)
