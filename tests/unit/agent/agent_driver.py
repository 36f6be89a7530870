"""The head's side of a real agent over a local pipe, for tests; and counting processes from outside."""

import itertools
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from beowulf.agent import pack, wire

LIMIT_S = 120.0
_markers = itertools.count(os.getpid() * 1000)

HOSTILE = """
sleep $0 &
env -i setsid sh -c "sleep $0 & sleep $0 & exit" &
env -i setsid sh -c "trap '' TERM; sleep $0; sleep $0; true" &
(trap '' TERM; sleep $0) &
sleep $0 & kill -STOP $!
env -i sh -c "(setsid sleep $0 &)" &
echo up
sleep $0
"""
"""Argument 0 is the marker. Seven processes or more that want to stay."""


def marker() -> str:
    """An argument of sleep that no other process on this machine has."""
    return f"1000.{next(_markers):010d}"


def carrying(mark: str) -> list[int]:
    """Process numbers, zombies aside, with ``mark`` in their arguments."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            pass
    return found


def wait_for(true: Callable[[], Any], what: str = "", limit_s: float = LIMIT_S) -> Any:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        value = true()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {limit_s} s: {what or true}")


def process(argv: list[str], name: str = "0", **more: Any) -> dict[str, Any]:
    return {"id": name, "rank": 0, "argv": argv, "env": {}, "cwd": ".", "cpus": [], **more}


UNTIL = "while [ ! -e {} ]; do sleep 0.02; done"
"""For a shell in its work folder: it waits until the test has made this file there (`Agent.let`)."""


class Agent:
    """Starts an agent in ``home`` and says hello. ``logs`` grow, and are acknowledged, as frames are read."""

    def __init__(
        self,
        home: Path,
        *,
        node: str = "n1",
        epoch: int = 1,
        python: str = sys.executable,
        packed: bytes = b"",
        credit: int = 1 << 20,
        greet: bool = True,
    ) -> None:
        self.home = home
        self.root = home / ".beowulf" / "lab" / node
        self.credit = credit
        self.frames: list[tuple[dict[str, Any], bytes]] = []
        self.logs: dict[tuple[str, str], bytearray] = {}
        self.acking = True
        self.closed = False
        self._decoder = wire.Decoder()
        environment = {"HOME": str(home), "PATH": os.environ["PATH"]}
        self.child = subprocess.Popen(
            ["/bin/sh", "-c", pack.bootstrap_command(python)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        assert self.child.stdin is not None and self.child.stdout is not None
        self._in, self._out = self.child.stdin.fileno(), self.child.stdout.fileno()
        self.write(packed or pack.packed())
        self.send("hello", wire=1, cluster="lab", node=node, epoch=epoch, heartbeat_s=30)
        if greet:
            self.welcome = self.expect("welcome")

    def write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._in, data) :]

    def send(self, kind: str, payload: bytes = b"", **fields: Any) -> None:
        self.write(wire.encode({"type": kind, **fields}, payload))

    def read(self, limit_s: float = 0.0) -> bool:
        """Takes what has come; False at the end of the pipe."""
        if self.closed or not select.select([self._out], [], [], limit_s)[0]:
            return not self.closed
        data = os.read(self._out, 1 << 20)
        self.closed = not data
        for header, payload in self._decoder.feed(data):
            if header["type"] == "output":
                self._take_output(header, payload)
            self.frames.append((header, payload))
        return not self.closed

    def _take_output(self, header: dict[str, Any], payload: bytes) -> None:
        log = self.logs.setdefault((header["attempt"], header["stream"]), bytearray())
        assert header["offset"] <= len(log), f"a gap: {header['offset']} after {len(log)}"
        del log[header["offset"] :]
        log += payload
        if self.acking:
            self.send("ack", attempt=header["attempt"], stream=header["stream"], offset=len(log))

    def expect(self, kind: str, limit_s: float = LIMIT_S, **fields: Any) -> dict[str, Any]:
        """The first frame of this type (and with these fields) not taken yet."""
        return self.expect_frame(kind, limit_s, **fields)[0]

    def expect_frame(self, kind: str, limit_s: float = LIMIT_S, **fields: Any) -> tuple[dict[str, Any], bytes]:
        deadline = time.monotonic() + limit_s
        while True:
            for index, (header, _) in enumerate(self.frames):
                if header["type"] == kind and all(header.get(key) == value for key, value in fields.items()):
                    return self.frames.pop(index)
            left = deadline - time.monotonic()
            if left <= 0 or not self.read(min(left, 1.0)):
                seen = [header for header, _ in self.frames if header["type"] != "output"]
                raise AssertionError(f"no {kind} {fields}; {'closed' if self.closed else 'seen'}: {seen}")

    def log_until(self, tag: str, stream: str, text: bytes, limit_s: float = LIMIT_S) -> bytes:
        deadline = time.monotonic() + limit_s
        while text not in self.logs.get((tag, stream), b""):
            assert time.monotonic() < deadline and self.read(0.2), (text, bytes(self.logs.get((tag, stream), b"")))
        return bytes(self.logs[(tag, stream)])

    def start(self, tag: str, processes: list[dict[str, Any]], *, follow: bool = True, **fields: Any) -> None:
        order: dict[str, Any] = {
            "lease_s": 600.0,
            "grace_s": 5.0,
            "setup": None,
            "hold": False,
            "env": {},
            "peers": [],
            "files": {},
            "spawn": False,
            "fail_fast": False,
            "log_cap_bytes": 0,
        }
        self.send("prepare", attempt=tag, trees=[], env="", port=False)
        self.expect("prepared", attempt=tag)
        self.send("start", attempt=tag, processes=processes, **{**order, **fields})
        if follow:
            self.follow(tag)

    def follow(self, tag: str, **streams: int) -> None:
        self.send("follow", attempt=tag, streams=streams or {"*": 0}, credit=self.credit)

    def run(self, tag: str, argv: list[str], **fields: Any) -> tuple[dict[str, Any], bytes]:
        """One process to its end → the ``cleared`` frame and the whole log."""
        self.start(tag, [process(argv)], **fields)
        return self.finish(tag)

    def finish(self, tag: str, stream: str = "0") -> tuple[dict[str, Any], bytes]:
        cleared = self.expect("cleared", attempt=tag)
        size = cleared["spool"].get(stream, 0)
        deadline = time.monotonic() + LIMIT_S
        while len(self.logs.get((tag, stream), b"")) < size:
            assert time.monotonic() < deadline and self.read(0.2), f"log of {tag} is short of {size}"
        return cleared, bytes(self.logs.get((tag, stream), b""))

    def state(self, tag: str) -> dict[str, Any]:
        """What the keeper wrote down."""
        path = self.root / "attempts" / tag / "state.json"
        value: dict[str, Any] = json.loads(wait_for(lambda: path.exists() and path.read_text()))
        return value

    def let(self, tag: str, name: str) -> None:
        """What waits `UNTIL` it may."""
        (self.root / "attempts" / tag / "work" / name).touch()

    def kill_keeper(self, tag: str, role: str = "keeper") -> None:
        os.kill(self.state(tag)[role][0], signal.SIGKILL)

    def kill_link(self) -> None:
        os.kill(self.child.pid, signal.SIGKILL)
        self.close()

    def close(self) -> None:
        for pipe in (self.child.stdin, self.child.stdout):
            if pipe is not None:
                pipe.close()
        self.closed = True
        self.child.wait(LIMIT_S)
