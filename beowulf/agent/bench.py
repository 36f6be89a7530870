"""The bench program: measures the node it runs on and, with another one, the line between the two.

Started per ``beowulf nodes bench`` over a channel of its own and gone with it.
"""

import json
import os
import select
import socket
import subprocess
import sys
import time
from typing import Any, Callable, Dict, List, Optional

from beowulf.agent import bench_line, bench_plain, bench_pythons, bench_script, system
from beowulf.agent.bulk_frames import Frames, LinkBroken

VERSION = 1
SCRIPT_LIMIT_S = 60.0
Request = Dict[str, Any]


class Bench:
    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._listener: Optional[socket.socket] = None
        self.answers: Dict[str, Callable[[Request], Dict[str, Any]]] = {
            "processors": self._processors,
            "listen": self._listen,
            "accept": self._accept,
            "connect": self._connect,
        }

    def _tell(self, text: str) -> None:
        self._frames.send({"type": "progress", "text": text})

    def _processors(self, request: Request) -> Dict[str, Any]:
        """Bare Python's figure always, and that of the best package there is; what failed on the way, as sentences."""
        self._tell("bare Python")
        devices: List[Dict[str, Any]] = [bench_plain.measure()]
        complaints: List[str] = []
        for python, package in bench_pythons.candidates(os.path.expanduser(request["root"])):
            self._tell("{} of {}".format(package, python))
            found, complaint = self._run_script(python, package)
            if found:
                return {"devices": devices + found, "complaints": complaints}
            complaints.append(complaint)
        return {"devices": devices, "complaints": complaints}

    def _run_script(self, python: str, package: str) -> Any:
        """``(devices, "")`` or ``(None, why not)``."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "MKL_"))}
        script = str(bench_script.__loader__.get_source(bench_script.__name__))  # type: ignore[union-attr]
        try:
            child = subprocess.Popen(
                [python, "-c", script, package],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                preexec_fn=system.die_with_parent,
            )
        except OSError as error:
            return None, "{}: {}".format(python, error.strerror)
        try:
            said = self._heard(child)
            return json.loads(said.decode("utf-8")), ""
        except ValueError:
            return None, "{} of {} could not measure (exit code {})".format(package, python, child.wait())
        finally:
            child.kill()
            child.wait()

    def _heard(self, child: Any) -> bytes:
        """Its whole output; what there is when its time is over. Raises LinkBroken when the head goes meanwhile."""
        said = b""
        deadline = time.monotonic() + SCRIPT_LIMIT_S
        while time.monotonic() < deadline:
            ready = select.select([child.stdout, self._frames.descriptor], [], [], 1.0)[0]
            if self._frames.descriptor in ready:  # it has nothing to say before we have answered
                raise LinkBroken("the head is gone")
            if child.stdout in ready:
                piece = os.read(child.stdout.fileno(), 65536)
                if not piece:
                    return said
                said += piece
        return said

    def _listen(self, request: Request) -> Dict[str, Any]:
        if self._listener is None:
            self._listener = bench_line.listen()
        return {"port": self._listener.getsockname()[1]}

    def _accept(self, request: Request) -> Dict[str, Any]:
        assert self._listener is not None
        return bench_line.serve(self._listener, *_terms(request))

    def _connect(self, request: Request) -> Dict[str, Any]:
        return bench_line.measure(request["host"], int(request["port"]), *_terms(request))


def _terms(request: Request) -> Any:
    return bytes.fromhex(request["token"]), float(request["seconds"]), float(request["timeout_s"])


def serve(frames: Frames) -> int:
    """Answers requests until the channel closes. One that fails is answered ``failed``, and the next may do better."""
    bench = Bench(frames)
    while True:
        frame = frames.receive()
        if frame is None:
            return 0
        request = frame[0]
        try:
            answer = bench.answers[request["type"]](request)
        except (OSError, ValueError, KeyError, AssertionError) as error:
            frames.send({"type": "failed", "error": str(error) or type(error).__name__})
            continue
        frames.send(dict(answer, type="done"))


def main() -> int:
    """Speaks over the standard input and output that SSH gave us."""
    source = os.fdopen(os.dup(0), "rb", 0)
    sink = os.fdopen(os.dup(1), "wb", 0)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(2, 1)  # what a library prints must not land between two frames
    system.set_name("beowulf-bench")

    def write(data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[sink.write(view) :]

    try:
        return serve(Frames(source.read, write, source.fileno()))
    except (LinkBroken, BrokenPipeError) as error:
        sys.stderr.write("bench: {}\n".format(error))
        return 1
