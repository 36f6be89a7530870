"""What every Slurm of ours has in common, over lab hosts: its configuration, and when it is up."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping

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
CGROUP = "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n"


def installed() -> bool:
    return all(shutil.which(name) for name in ("slurmctld", "slurmd", "srun", "munged"))


def configuration(controller: str, address: str, folder: str, nodes: Mapping[str, str], cpus: int) -> str:
    """slurm.conf: the controller's host name and address, and the compute nodes' addresses by name."""
    lines = "\n".join(
        f"NodeName={name} NodeAddr={at} CPUs={cpus} RealMemory=4096 State=UNKNOWN" for name, at in nodes.items()
    )
    return CONF.format(head=controller, address=address, folder=folder, nodes=lines, names=",".join(nodes))


def wait_idle(sinfo: Callable[[], str], nodes: int) -> None:
    """``sinfo()``: what ``sinfo -h -o '%t %D'`` prints."""
    until = time.monotonic() + 200
    while time.monotonic() < until:
        if sinfo().split()[:2] == ["idle", str(nodes)]:
            return
        time.sleep(0.2)
    raise RuntimeError(f"Slurm did not come up: {sinfo()}")
