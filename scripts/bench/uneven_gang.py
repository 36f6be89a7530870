"""A gang over lab hosts, each with its own share of a core and its own cable: stock torchrun on every one of them.

Ranks are started past sshd, directly in the hosts' network namespaces (nothing of ours runs beside them), and are put
into the hosts' CPU cgroups once torch is imported and the models are made.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bed import CHECKOUT, machine

from beowulf.lab import Lab
from beowulf.lab.blueprint import PERIOD_US
from beowulf.lab.survey import cpu_cgroups, kind_here

HERE = Path(__file__).resolve().parent
PATIENCE_S = 240
WEIGHT = 20_000  # the kernel's is 1024 for anybody: other work on the machine shall hardly count


@dataclass(frozen=True)
class Bed:
    """``shares``: per host, of one core; ``link``: like 1gbit, "" for none."""

    shares: tuple[float, ...]
    link: str = ""

    @property
    def words(self) -> str:
        shares = "/".join(f"{share:.0%}" for share in self.shares)
        return f"{len(self.shares)} hosts at {shares} of a core, {self.link or 'links not shaped'}"


def missing() -> str:
    """Why this machine cannot make unequal hosts; "" when it can."""
    kind, reason = kind_here()
    place, absent = cpu_cgroups()
    return "" if kind == "root" and place else f"left out: {reason or absent or 'namespace hosts need root'}"


@contextmanager
def hosts(bed: Bed) -> Iterator[Lab]:
    lines = ["defaults: {cores: 1" + (f", link: {bed.link}" if bed.link else "") + "}", "hosts:"]
    lines += [f"  n{number}: {{cpu_share: {share}}}" for number, share in enumerate(bed.shares, 1)]
    with tempfile.TemporaryDirectory(prefix="beowulf-bench-") as folder:
        topology = Path(folder) / "uneven.yaml"
        topology.write_text("\n".join(lines) + "\n")
        lab = Lab.up("uneven", topology=topology, labs=Path(folder) / "labs")
        try:
            assert not lab.blueprint.notes, lab.blueprint.notes
            Path(lab.blueprint.cgroup, "cpu.shares").write_text(str(WEIGHT))
            yield lab
        finally:
            lab.down(purge=True)


def quota_file(lab: Lab, host: str) -> str:
    return f"{lab.blueprint.cgroup}/{host}/cpu.cfs_quota_us"


def quota_us(share: float) -> int:
    return round(share * PERIOD_US)


def run(lab: Lab, plan: dict[str, Any]) -> dict[str, Any]:
    """What rank 0 found. Raises when a rank failed, with what it said."""
    print(f"  started: {machine()}", flush=True)
    with tempfile.TemporaryDirectory(prefix="beowulf-bench-") as name:
        folder = Path(name)
        (folder / "plan.json").write_text(json.dumps(plan))
        agents = [_agent(lab, folder, number) for number in range(len(lab.hosts))]
        try:
            _wait(agents, lambda: all((folder / f"ready-{rank}").exists() for rank in range(len(agents))))
            for rank, host in enumerate(lab.hosts):
                pid = (folder / f"ready-{rank}").read_text()
                Path(lab.blueprint.cgroup, host, "cgroup.procs").write_text(pid)
            (folder / "go").touch()
            for agent in agents:
                agent.wait()
        finally:
            for agent in agents:
                agent.terminate()
                agent.wait()
        said = [(folder / f"said-{number}").read_text() for number in range(len(agents))]
        assert not any(agent.returncode for agent in agents), "\n".join(said)
        found: dict[str, Any] = json.loads((folder / "found.json").read_text())
    print(f"  ended:   {machine()}", flush=True)
    return found


def _agent(lab: Lab, folder: Path, number: int) -> subprocess.Popen[bytes]:
    """torchrun on host ``number``."""
    host = list(lab.hosts.values())[number]
    first = next(iter(lab.hosts.values()))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes", str(len(lab.hosts)), "--nproc-per-node", "1",
                "--node-rank", str(number), "--master-addr", first.address, "--master-port", "29517"]  # fmt: skip
    inside = ["nsenter", f"--net=/proc/{host.pid}/ns/net", "--"]
    env = {
        **os.environ,
        "PYTHONPATH": f"{CHECKOUT}:{HERE}",
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "eth0",
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        "UNEVEN_PLAN": str(folder / "plan.json"),
        "UNEVEN_FOLDER": str(folder),
    }
    with (folder / f"said-{number}").open("wb") as said:
        return subprocess.Popen([*inside, *torchrun, str(HERE / "uneven_rank.py")], env=env, stdout=said, stderr=said)


def _wait(agents: Sequence[subprocess.Popen[bytes]], done: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        if any(agent.poll() is not None for agent in agents) or time.monotonic() > deadline:
            for agent in agents:
                agent.terminate()
            return
        time.sleep(0.1)
