"""Beside a running job: one connection to what it listens at, or one program like its ranks; gone with its channel.

Reads one line of JSON (``root``, ``cluster``, ``attempt``, ``rank``, and ``port`` or ``argv``) and answers with one:
``{}``, or ``error`` with a sentence. After ``{}`` bytes go both ways as they are.
"""

import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from typing import Any, Dict, List, Set, Tuple

from beowulf.agent import sweep, system

PIECE = 64 * 1024
CONNECT_S = 10.0
GRACE_S = 5.0
LISTENS = "0A"  # of the kernel's states of a socket
EVERYWHERE = {"0.0.0.0": ("127.0.0.1",), "::": ("127.0.0.1", "::1")}

Place = Tuple[str, int]


class Unable(Exception):
    """Why not, as a sentence."""


def main() -> int:
    request = json.loads(_line().decode("utf-8"))
    marks = sweep.Marks(request["cluster"], request["attempt"], request["root"])
    pids = [who.pid for who in sweep.marked(marks)]
    try:
        if "port" in request:
            _carry(_connected(pids, request["port"]))
        else:
            _accompany(_started(pids, request["rank"], request["argv"]))
    except Unable as error:
        _answer({"error": str(error)})
    except BrokenPipeError:
        pass  # nobody is there any more
    return 0


def _line() -> bytes:
    text = b""
    while not text.endswith(b"\n"):
        piece = os.read(0, 1)  # what follows the line is not ours to take
        if not piece:
            sys.exit(1)
        text += piece
    return text


def _answer(value: Dict[str, Any]) -> None:
    _write(json.dumps(value).encode("ascii") + b"\n")


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


# a connection


def listening(pids: List[int]) -> List[Place]:
    """Where these processes take TCP connections: ``(address, port)``."""
    mine: Set[int] = set()
    for pid in pids:
        mine |= _sockets(pid)
    found: List[Place] = []
    for name in ("tcp", "tcp6"):
        try:
            with open("/proc/net/" + name) as file:
                rows = [row.split() for row in file.read().splitlines()[1:]]
        except OSError:  # a kernel without IPv6
            continue
        found += [_place(row[1]) for row in rows if row[3] == LISTENS and int(row[9]) in mine]
    return sorted(set(found), key=lambda place: place[1])


def _sockets(pid: int) -> Set[int]:
    found: Set[int] = set()
    folder = "/proc/{}/fd".format(pid)
    try:
        names = os.listdir(folder)
    except OSError:  # the process ended meanwhile
        return found
    for name in names:
        try:
            target = os.readlink(os.path.join(folder, name))
        except OSError:  # this one was closed meanwhile, which says nothing of the others
            continue
        if target.startswith("socket:["):
            found.add(int(target[8:-1]))
    return found


def _place(text: str) -> Place:
    """``0100007F:1F90``: each 32 bits of the address as this machine's number."""
    address, port = text.split(":")
    words = [int(address[start : start + 8], 16) for start in range(0, len(address), 8)]
    raw = struct.pack("={}I".format(len(words)), *words)
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw), int(port, 16)


def _connected(pids: List[int], port: int) -> socket.socket:
    there = listening(pids)
    refused = ""
    for address in [place[0] for place in there if place[1] == port]:
        for reachable in EVERYWHERE.get(address, (address,)):
            try:
                end = socket.create_connection((reachable, port), CONNECT_S)
                end.settimeout(None)
                return end
            except OSError as error:
                refused = "port {} does not answer: {}".format(port, error)
    if refused:
        raise Unable(refused)
    others = ", ".join(str(place[1]) for place in there)
    raise Unable("it does not listen at port {} ({})".format(port, "at " + others if others else "at none"))


def _carry(end: socket.socket) -> None:
    _answer({})
    threading.Thread(target=_inward, args=(end,), daemon=True).start()
    threading.Thread(target=_end_with_reader, daemon=True).start()
    try:
        while True:
            piece = end.recv(PIECE)
            if not piece:
                return
            _write(piece)
    except OSError:  # one of the two is gone, and so are we
        return


def _inward(end: socket.socket) -> None:
    try:
        while True:
            piece = os.read(0, PIECE)
            if not piece:
                break
            end.sendall(piece)
        end.shutdown(socket.SHUT_WR)
    except OSError:  # the other direction sees that, too
        pass


def _end_with_reader() -> None:
    """The end of what comes in may be half a goodbye, and a job that takes nothing hides it: only where nobody reads
    any more all is over."""
    reader = select.poll()
    reader.register(1, 0)
    reader.poll()
    os._exit(0)


# a program


def _started(pids: List[int], rank: int, argv: List[str]) -> "subprocess.Popen[bytes]":
    """With a rank's variables, folder and threads. It carries the job's tag: the end of the job ends it."""
    for pid in pids:
        variables = _variables(pid)
        if variables.get(b"RANK") != str(rank).encode("ascii") or b"BEOWULF_WORK" not in variables:
            continue
        try:
            os.sched_setaffinity(0, os.sched_getaffinity(pid))
            return subprocess.Popen(
                [system.to_bytes(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=variables[b"BEOWULF_WORK"],
                env=variables,
                preexec_fn=_become,
            )
        except OSError as error:
            raise Unable("{} cannot be run there: {}".format(argv[0], error.strerror))
    raise Unable("rank {} has no process now".format(rank))


def _become() -> None:
    os.setsid()
    system.die_with_parent()


def _variables(pid: int) -> Dict[bytes, bytes]:
    try:
        with open("/proc/{}/environ".format(pid), "rb") as file:
            pairs = [word.partition(b"=") for word in file.read().split(b"\0")]
    except OSError:
        return {}
    return {name: value for name, _, value in pairs if name}


def _accompany(child: "subprocess.Popen[bytes]") -> None:
    _answer({})
    threading.Thread(target=_end_when_left, args=(child,), daemon=True).start()
    assert child.stdout is not None
    while True:
        piece = os.read(child.stdout.fileno(), PIECE)
        if not piece:
            break
        _write(piece)
    child.wait()


def _end_when_left(child: "subprocess.Popen[bytes]") -> None:
    while os.read(0, PIECE):
        pass
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
            child.wait(GRACE_S)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass


if __name__ == "__main__":
    sys.exit(main())
