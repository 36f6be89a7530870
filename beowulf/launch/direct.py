"""Ranks that the keeper starts itself: ``command`` and ``torchrun`` (static rendezvous, or the elastic agent)."""

from __future__ import annotations

from beowulf.launch.environment import devices, gang_environment, part_of_gpu, rank_environment, threads
from beowulf.launch.starting import Gang, Process
from beowulf.model.allocation import Share


def every_rank(gang: Gang, index: int, share: Share) -> tuple[Process, ...]:
    """The job's command once per rank, with the variables that torch's ``env://`` rendezvous reads."""
    return tuple(
        Process(
            str(slot.rank),
            slot.rank,
            gang.rank_command,
            rank_environment(gang, index, share, slot),
            cpus=slot.cpus,
        )
        for slot in share.ranks
    )


def torchrun(gang: Gang, index: int, share: Share) -> tuple[Process, ...]:
    # Static rendezvous needs no torchrun process, which would import torch once more before any rank can.
    return elastic_agent(gang, index, share) if gang.spec.torch_elastic else every_rank(gang, index, share)


def elastic_agent(gang: Gang, index: int, share: Share) -> tuple[Process, ...]:
    """One ``torch.distributed.run`` per node, which starts the node's ranks itself and sets their variables."""
    argv = (
        *("python3", "-m", "torch.distributed.run"),
        *("--nnodes", str(len(gang.allocation.shares))),
        *("--node-rank", str(index)),
        *("--nproc-per-node", str(len(share.ranks))),
        *("--master-addr", gang.master_address),
        *("--master-port", str(gang.master_port)),
        "--no-python",
        *gang.rank_command,
    )
    env = gang_environment(gang, index, share)
    env.update(threads(gang, len(share.cpus) // len(share.ranks)))
    env.update(devices(gang.nodes[share.node], sorted(set(share.gpus))))
    env.update(part_of_gpu(share))
    return (Process("torchrun", -1, argv, env, cpus=tuple(sorted(set(share.cpus)))),)
