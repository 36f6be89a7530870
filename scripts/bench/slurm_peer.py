"""A real Slurm over the lab's hosts: Debian's slurm-wlm and munge, one slurmd in each host's network namespace.

Tuned for short jobs as Slurm's high-throughput guide says; the configuration is printed, so that a reader can judge.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from slurm_conf import CGROUP, configuration, installed, wait_idle

__all__ = ["Slurm", "installed"]


class Slurm:
    """``with Slurm({"n1": ("namespace pid", "10.77.0.11"), …}, head_address) as slurm: slurm.run("srun", …)``."""

    def __init__(self, hosts: Mapping[str, tuple[int, str]], head_address: str, cpus: int = 2) -> None:
        self.hosts = hosts
        self.folder = Path(tempfile.mkdtemp(prefix="bw-slurm-"))
        self._processes: list[subprocess.Popen[bytes]] = []
        nodes = {name: address for name, (_, address) in hosts.items()}
        self.conf = configuration(os.uname().nodename, head_address, str(self.folder), nodes, cpus)

    def __enter__(self) -> Slurm:
        (self.folder / "slurm.conf").write_text(self.conf)
        (self.folder / "cgroup.conf").write_text(CGROUP)
        (self.folder / "state").mkdir()
        (self.folder / "spool").mkdir()
        self._munge()
        self._spawn(["slurmctld", "-D", "-f", str(self.folder / "slurm.conf")])
        for name, (pid, _) in self.hosts.items():
            (self.folder / "spool" / name).mkdir()
            daemon = ["slurmd", "-D", "-N", name, "-f", str(self.folder / "slurm.conf")]
            self._spawn(["nsenter", f"--net=/proc/{pid}/ns/net", "--", *daemon])
        wait_idle(lambda: self.run("sinfo", "-h", "-o", "%t %D", check=False).stdout, len(self.hosts))
        return self

    def run(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(argv, env=self.env(), capture_output=True, text=True, check=check)

    def env(self) -> dict[str, str]:
        return {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _munge(self) -> None:
        if (
            Path("/run/munge/munge.socket.2").exists()
            and subprocess.run(["munge", "-n"], capture_output=True).returncode == 0
        ):
            return
        folder = Path("/run/munge")
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
        subprocess.run(
            ["chown", "-R", "munge:munge", str(folder), "/etc/munge", "/var/lib/munge", "/var/log/munge"], check=True
        )
        self._spawn(["setpriv", "--reuid=munge", "--regid=munge", "--clear-groups", "munged", "-F", "--force"])
        time.sleep(0.5)

    def _spawn(self, argv: Sequence[str]) -> None:
        log = (self.folder / "daemons.log").open("ab")
        self._processes.append(subprocess.Popen(argv, env=self.env(), stdout=log, stderr=log, stdin=subprocess.DEVNULL))
