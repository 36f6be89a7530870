"""Horovod's ranks: over MPI exactly as launcher ``mpi`` starts them, or over Gloo, started by their keepers.

What was seen of Horovod 0.28.1 and what follows from it:

* Over Gloo a rank takes its place from HOROVOD_RANK … HOROVOD_CROSS_SIZE and meets the others at an HTTP server, which
  ``horovodrun`` runs beside itself. Ours runs on rank 0's node: ``beowulf-rendezvous`` serves there, with Horovod's own
  class, on the port the agent kept free, and lets the other ranks begin when it answers. A rank that came earlier would
  give up after three tries in 1.5 s.
* Ranks say good-bye to that server while they meet, and shut down together: it may end with rank 0.
* The first rank in ``hvd.init()`` gives up on the last after 30 s; importing torch from an old disk takes longer.
* Without HOROVOD_GLOO_IFACE Gloo listens where the host's own name leads, which is loopback on many a machine.
* CROSS is a rank's place among those of the same local rank; places are counted per host name, so node ids are given.
"""

from __future__ import annotations

import re

from beowulf.launch import mpi
from beowulf.launch.environment import rank_environment
from beowulf.launch.starting import Gang, Launcher, Process, Refusal
from beowulf.model.allocation import RankSlot, Share

RENDEZVOUS = "beowulf-rendezvous"
PATIENCE = {"HOROVOD_GLOO_TIMEOUT_SECONDS": "300"}


def _over(controller: str) -> dict[str, str]:
    return {"HOROVOD_CONTROLLER": controller, "HOROVOD_CPU_OPERATIONS": controller}


def _mpi_files(gang: Gang, index: int, share: Share) -> dict[str, str]:
    return mpi.files(gang, index, share, _over("mpi"))


def gloo_ranks(gang: Gang, index: int, share: Share) -> tuple[Process, ...]:
    program = f"{gang.attempt_folder(gang.nodes[share.node])}/bin/{RENDEZVOUS}"
    # The environment's Python, and not the agent's: it has Horovod.
    argv = ("python3", program, hosts(gang), "--", *gang.rank_command)
    return tuple(
        Process(
            str(slot.rank),
            slot.rank,
            argv,
            {**rank_environment(gang, index, share, slot), **place(gang, index, share, slot)},
            cpus=slot.cpus,
        )
        for slot in share.ranks
    )


def hosts(gang: Gang) -> str:
    """As ``horovodrun -H`` takes them: ``n1:2,n2:1``."""
    return ",".join(f"{share.node}:{len(share.ranks)}" for share in gang.allocation.shares)


def place(gang: Gang, index: int, share: Share, slot: RankSlot) -> dict[str, str]:
    """What ``horovodrun --gloo`` sets for one rank."""
    peers = [at for at, other in enumerate(gang.allocation.shares) if len(other.ranks) > slot.local_rank]
    defaults = {**PATIENCE, **({"HOROVOD_GLOO_IFACE": "lo"} if gang.alone else {})}
    return {
        **_over("gloo"),
        **{name: value for name, value in defaults.items() if name not in gang.spec.envs},
        "HOROVOD_GLOO_RENDEZVOUS_ADDR": gang.master_address,
        "HOROVOD_GLOO_RENDEZVOUS_PORT": str(gang.master_port),
        "HOROVOD_HOSTNAME": share.node,
        "HOROVOD_RANK": str(slot.rank),
        "HOROVOD_SIZE": str(gang.allocation.world_size),
        "HOROVOD_LOCAL_RANK": str(slot.local_rank),
        "HOROVOD_LOCAL_SIZE": str(len(share.ranks)),
        "HOROVOD_CROSS_RANK": str(peers.index(index)),
        "HOROVOD_CROSS_SIZE": str(len(peers)),
    }


def check(gang: Gang) -> Refusal | None:
    environment = gang.spec.environment
    if environment.system_mpi and any(re.match(r"horovod\b", line.strip(), re.I) for line in environment.requirements):
        sentence = "horovod among env.requirements brings the Open MPI it was made with: leave env.system_mpi out"
        return Refusal("BadConstraints", sentence)
    return mpi.check(gang)


OVER_MPI = Launcher(mpi.processes, check, mpi.node_env, _mpi_files, spawn=True, scratch=mpi.SCRATCH)
OVER_GLOO = Launcher(gloo_ranks, always_port=True)
