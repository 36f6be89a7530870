"""A real head for tests: the daemon as its own process, over real lab hosts."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from beowulf.client import Client
from beowulf.lab import Lab
from beowulf.model.errors import BeowulfError, Refused
from beowulf.model.job import JobSpec

CHECKOUT = Path(__file__).resolve().parents[2]
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "OUT_OF_MEMORY")
PATIENCE_S = 150.0  # with what takes seconds on a quiet machine


class RealHead:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.process: subprocess.Popen[bytes] | None = None
        self.client = Client(home / "api.sock")
        self._boots: dict[str, str] = {}  # of each host, the boot it was last seen in

    def env(self) -> dict[str, str]:
        own = {"BEOWULF_HOME": str(self.home), "PYTHONPATH": str(CHECKOUT), "NO_COLOR": "1"}
        # pytest-xdist's workers name a terminal's size, which would count for more than that of a pty.
        return {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")} | own

    def up(self) -> None:
        self.begin()
        self.wait_for(self.answers, "the head to answer")

    def begin(self) -> None:
        """Starts it and does not wait."""
        self.home.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "beowulf.daemon", str(self.home)]
        with (self.home / "controller.log").open("ab") as log:
            self.process = subprocess.Popen(command, env=self.env(), stdout=log, stderr=log, start_new_session=True)

    def answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the head ended:\n{self.log()}")
        try:
            return bool(self.client.ping())
        except BeowulfError:
            return False

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """SIGKILL: nothing is tidied up."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def down(self) -> None:
        if self.process is not None and self.is_alive():
            self.process.terminate()
            self.process.wait(timeout=PATIENCE_S)

    def log(self) -> str:
        return (self.home / "controller.log").read_text()[-5000:]

    def add(self, lab: Lab, names: tuple[str, ...] | None = None) -> None:
        """Those hosts, or all of them; comes back when they are up."""
        chosen = tuple(lab.hosts) if names is None else names
        for name in chosen:
            host = lab.hosts[name]
            end = {"host": host.address, "port": host.port, "user": host.user}
            self.client.add_node(name, {**end, "identity_file": host.identity_file}, host.host_key)
        self.nodes_up(chosen)

    def settle(self, lab: Lab, names: tuple[str, ...] = ()) -> None:
        """Up, with those hosts of ``lab`` (or all) up and nothing running, whatever an earlier test did."""
        chosen = names or tuple(lab.hosts)
        if not self.is_alive():
            self.up()
        known = {node["id"]: node for node in self.client.nodes()}
        self.add(lab, tuple(name for name in chosen if name not in known))
        for name, node in known.items():
            if node["drained"]:
                self.client.resume(name)
        self.end_all()
        for name in chosen:
            self._knows_the_boot_of(lab, name)
        self.nodes_up(chosen)

    def calm(self, lab: Lab) -> None:
        """Its jobs leave the hosts: the next test may look at those with another head, or with none."""
        if self.is_alive() and self.client.jobs(state="live"):
            for host in lab.status():
                if not host.power:
                    lab.power_on(host.name)
                if not host.link:
                    lab.link_up(host.name)
            lab.heal()
            self.end_all()

    def end_all(self) -> None:
        """No job lives any more."""
        for job in self.client.jobs(state="live"):
            with contextlib.suppress(Refused):  # it has ended meanwhile
                self.client.cancel(job["id"])
        self.wait_for(lambda: not self.client.jobs(state="live"), "all jobs to end")

    def nodes_up(self, names: tuple[str, ...]) -> None:
        def ready() -> bool:
            states = {node["id"]: node for node in self.client.nodes()}
            return all(states[name]["state"] == "UP" and states[name]["facts"]["memory_mib"] for name in names)

        self.wait_for(ready, f"{names} to be up")

    def _knows_the_boot_of(self, lab: Lab, name: str) -> None:
        """A head that has not yet noticed a power cut takes the node for UP."""
        boot = str(json.loads((lab.folder / "hosts" / name / "order.json").read_text())["boot_id"])
        if self._boots.get(name) != boot:
            self.wait_for(
                lambda: self.client.node(name)["facts"]["boot_id"] == boot, f"the last boot of {name} to be noticed"
            )
            self._boots[name] = boot

    def submit(self, spec: JobSpec, array: tuple[int, ...] = (), **more: Any) -> str:
        return str(self.client.submit(spec, array=array, **more))

    def ended(self, job_id: str, patience_s: float = PATIENCE_S) -> dict[str, Any]:
        def done() -> bool:
            return self.client.job(job_id)["word"] in ENDED

        self.wait_for(done, f"job {job_id} to end", patience_s)
        return dict(self.client.job(job_id))

    def is_running(self, job_id: str, patience_s: float = PATIENCE_S) -> None:
        self.wait_for(lambda: self.client.job(job_id)["word"] == "RUNNING", f"job {job_id} to run", patience_s)

    def text(self, job_id: str, process: str, attempt: int = 1) -> bytes:
        path = self.home / "jobs" / job_id / "logs" / str(attempt) / f"{process}.log"
        return path.read_bytes() if path.exists() else b""

    def cli(
        self, *arguments: str, timeout: float = 2 * PATIENCE_S, cwd: Path = CHECKOUT
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "beowulf.cli", *arguments]
        return subprocess.run(command, env=self.env(), capture_output=True, text=True, timeout=timeout, cwd=cwd)

    def wait_for(self, condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + patience_s
        while not condition():
            assert time.monotonic() < deadline, f"waited {patience_s:g} s for {what}\n{self.log()}"
            time.sleep(0.05)


def healed(lab: Lab) -> Lab:
    """All of its hosts on, and everything plugged in."""
    return Lab.up(lab.blueprint.name, len(lab.hosts), labs=lab.folder.parent)


@contextlib.contextmanager
def reserved_port(host: str = "127.0.0.1") -> Iterator[int]:
    """A port that nobody else is given meanwhile: bound and not listened at, so that who is told of it may listen."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((host, 0))
        yield held.getsockname()[1]
