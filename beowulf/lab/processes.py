"""Hosts as the machine sees them: which processes run on one, counted from outside its PID namespace."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

DEAD = ("", "Z", "X")


@dataclass(frozen=True)
class Init:
    """A host's first process. The start time tells it from a later one with the same number."""

    pid: int
    start_time: str
    namespace: str

    def alive(self) -> bool:
        state, start_time = _stat(self.pid)
        return state not in DEAD and start_time == self.start_time


def read_init(path: Path) -> Init | None:
    """What the last boot wrote; None before the first one."""
    try:
        pid, start_time, namespace = path.read_text(encoding="ascii").split()
    except (FileNotFoundError, ValueError):
        return None
    return Init(int(pid), start_time, namespace)


def on_host(init: Init | None, network: str, mark: str = "") -> list[tuple[int, str]]:
    """(pid, command line) of every live process in the host's PID namespace, in its network namespace (a job may have
    made a PID namespace of its own), or, where there are no namespaces, marked as the host's or descending from its
    first process."""
    namespaces = {init.namespace} if init is not None and init.alive() and not mark else set()
    wanted_network = _inode(f"/run/netns/{network}") if network else 0
    family = _family(init.pid) if init is not None and init.alive() and mark else set()
    found = []
    for pid in _pids():
        here = pid in family
        here = here or (bool(namespaces) and _link(pid, "pid") in namespaces)
        here = here or (bool(wanted_network) and _inode(f"/proc/{pid}/ns/net") == wanted_network)
        here = here or (bool(mark) and mark.encode() in _read(f"/proc/{pid}/environ").split(b"\0"))
        if here and _stat(pid)[0] not in DEAD:
            found.append((pid, _command_line(pid)))
    return found


def end(init: Init | None, network: str, mark: str = "") -> None:
    """Pulls the plug, and comes back when nothing of the host is left."""
    deadline = time.monotonic() + 60
    if init is not None and init.alive():
        strays = on_host(init, "", mark) if mark else []
        _kill(init.pid)
        for pid, _ in strays:
            _kill(pid)
        while init.alive() and time.monotonic() < deadline:
            time.sleep(0.002)
    while time.monotonic() < deadline:
        left = on_host(init, network, mark)
        if not left:
            return
        for pid, _ in left:
            _kill(pid)
        time.sleep(0.005)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def _pids() -> Iterator[int]:
    own = os.getpid()
    return (int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != own)


def _family(root: int) -> set[int]:
    parents = {pid: _parent(pid) for pid in _pids()}
    family = {root}
    while True:
        more = {pid for pid, parent in parents.items() if parent in family} - family
        if not more:
            return family
        family |= more


def _parent(pid: int) -> int:
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return int(fields[1]) if len(fields) > 1 else 0


def _stat(pid: int) -> tuple[str, str]:
    """(state, start time), empty when there is no such process."""
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return (fields[0].decode(), fields[19].decode()) if len(fields) > 19 else ("", "")


def _command_line(pid: int) -> str:
    line = _read(f"/proc/{pid}/cmdline").rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")
    return line or f"[{_read(f'/proc/{pid}/comm').decode('utf-8', 'replace').strip()}]"


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def _link(pid: int, kind: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/{kind}")
    except OSError:
        return ""


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0
