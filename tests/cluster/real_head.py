"""A real head for tests: the daemon as its own process, over real lab hosts."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from beowulf.client import Client
from beowulf.lab import Lab
from beowulf.model.errors import BeowulfError, Refused
from beowulf.model.job import JobSpec

CHECKOUT = Path(__file__).resolve().parents[2]
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "OUT_OF_MEMORY")


class RealHead:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.process: subprocess.Popen[bytes] | None = None
        self.client = Client(home / "api.sock")

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
        log = (self.home / "controller.log").open("ab")
        command = [sys.executable, "-m", "beowulf.daemon", str(self.home)]
        self.process = subprocess.Popen(command, env=self.env(), stdout=log, stderr=log, start_new_session=True)

    def answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the head ended:\n{self.log()}")
        try:
            return bool(self.client.ping())
        except BeowulfError:
            return False

    def kill(self) -> None:
        """SIGKILL: nothing is tidied up."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def down(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=30)

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
        if self.process is None or self.process.poll() is not None:
            self.up()
        known = {node["id"]: node for node in self.client.nodes()}
        self.add(lab, tuple(name for name in chosen if name not in known))
        for name, node in known.items():
            if node["drained"]:
                self.client.resume(name)
        for job in self.client.jobs(state="live"):
            with contextlib.suppress(Refused):  # it has ended meanwhile
                self.client.cancel(job["id"])
        self.wait_for(lambda: not self.client.jobs(state="live"), "all jobs to end")
        self.nodes_up(chosen)

    def nodes_up(self, names: tuple[str, ...]) -> None:
        def ready() -> bool:
            states = {node["id"]: node for node in self.client.nodes()}
            return all(states[name]["state"] == "UP" and states[name]["facts"]["memory_mib"] for name in names)

        self.wait_for(ready, f"{names} to be up")

    def submit(self, spec: JobSpec, array: tuple[int, ...] = (), **more: Any) -> str:
        return str(self.client.submit(spec, array=array, **more))

    def ended(self, job_id: str, patience_s: float = 60) -> dict[str, Any]:
        def done() -> bool:
            return self.client.job(job_id)["word"] in ENDED

        self.wait_for(done, f"job {job_id} to end", patience_s)
        return dict(self.client.job(job_id))

    def is_running(self, job_id: str, patience_s: float = 60) -> None:
        self.wait_for(lambda: self.client.job(job_id)["word"] == "RUNNING", f"job {job_id} to run", patience_s)

    def text(self, job_id: str, process: str, attempt: int = 1) -> bytes:
        path = self.home / "jobs" / job_id / "logs" / str(attempt) / f"{process}.log"
        return path.read_bytes() if path.exists() else b""

    def cli(self, *arguments: str, timeout: float = 120, cwd: Path = CHECKOUT) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "beowulf.cli", *arguments]
        return subprocess.run(command, env=self.env(), capture_output=True, text=True, timeout=timeout, cwd=cwd)

    def wait_for(self, condition: Callable[[], bool], what: str, patience_s: float = 60) -> None:
        deadline = time.monotonic() + patience_s
        while not condition():
            assert time.monotonic() < deadline, f"waited {patience_s:g} s for {what}\n{self.log()}"
            time.sleep(0.05)
