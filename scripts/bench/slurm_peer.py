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

CONF = """\
ClusterName=bench
SlurmctldHost={head}({address})
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CommunicationParameters=NoAddrCache
SlurmctldPort=6817
SlurmdPort=6818
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmctldDebug=error
SlurmdDebug=error
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1,bf_interval=2,default_queue_depth=10000
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PriorityType=priority/basic
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MaxJobCount=20000
MaxArraySize=10001
MinJobAge=2
MessageTimeout=60
TreeWidth=16
{nodes}
PartitionName=main Nodes={names} Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


def installed() -> bool:
    return all(shutil.which(name) for name in ("slurmctld", "slurmd", "srun", "munged"))


class Slurm:
    """``with Slurm({"n1": ("namespace pid", "10.77.0.11"), …}, head_address) as slurm: slurm.run("srun", …)``."""

    def __init__(self, hosts: Mapping[str, tuple[int, str]], head_address: str, cpus: int = 2) -> None:
        self.hosts = hosts
        self.folder = Path(tempfile.mkdtemp(prefix="bw-slurm-"))
        self._processes: list[subprocess.Popen[bytes]] = []
        nodes = "\n".join(
            f"NodeName={name} NodeAddr={address} CPUs={cpus} RealMemory=1024 State=UNKNOWN"
            for name, (_, address) in hosts.items()
        )
        names = ",".join(hosts)
        head = os.uname().nodename
        self.conf = CONF.format(head=head, address=head_address, folder=self.folder, nodes=nodes, names=names)

    def __enter__(self) -> Slurm:
        (self.folder / "slurm.conf").write_text(self.conf)
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n")
        (self.folder / "state").mkdir()
        (self.folder / "spool").mkdir()
        self._munge()
        self._spawn(["slurmctld", "-D", "-f", str(self.folder / "slurm.conf")])
        for name, (pid, _) in self.hosts.items():
            (self.folder / "spool" / name).mkdir()
            daemon = ["slurmd", "-D", "-N", name, "-f", str(self.folder / "slurm.conf")]
            self._spawn(["nsenter", f"--net=/proc/{pid}/ns/net", "--", *daemon])
        self._wait_idle()
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

    def _wait_idle(self) -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            found = self.run("sinfo", "-h", "-o", "%t %D", check=False).stdout.split()
            if found[:2] == ["idle", str(len(self.hosts))]:
                return
            time.sleep(0.3)
        raise RuntimeError(f"Slurm did not come up: {self.run('sinfo', check=False)}; see {self.folder}")
