"""The table of launchers, and what the controller asks of it."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from beowulf.launch import direct, horovod, mpi, tensorflow
from beowulf.launch.environment import HOSTFILE, hostfile, node_environment
from beowulf.launch.starting import LOG_CAP_BYTES, Gang, Launcher, NodeStart, Process, Refusal
from beowulf.model.allocation import Allocation, Share
from beowulf.model.job import Job, JobSpec
from beowulf.model.job import Launcher as Name
from beowulf.model.node import Node, NodeId
from beowulf.model.tracking import Tracking

NO_ENVIRONMENTS: Mapping[NodeId, str] = MappingProxyType({})
NO_PASSAGES: Mapping[NodeId, int] = MappingProxyType({})
NO_TRACKING = Tracking()


LAUNCHERS: Mapping[Name, Launcher] = MappingProxyType(
    {
        Name.COMMAND: Launcher(direct.every_rank),
        Name.TORCHRUN: Launcher(direct.torchrun, always_port=True),
        Name.MPI: Launcher(mpi.processes, mpi.check, mpi.node_env, mpi.files, spawn=True, scratch=mpi.SCRATCH),
        Name.HOROVOD: horovod.OVER_MPI,
        Name.TENSORFLOW: Launcher(tensorflow.processes, always_port=True),
    }
)


def launcher_of(spec: JobSpec) -> Launcher:
    over_gloo = spec.launcher is Name.HOROVOD and spec.horovod_controller == "gloo"
    return horovod.OVER_GLOO if over_gloo else LAUNCHERS[spec.launcher]


def processes(
    job: Job,
    allocation: Allocation,
    nodes: Mapping[NodeId, Node],
    *,
    master_port: int,
    cluster: str,
    ports: tuple[int, ...] = (),
    passages: Mapping[NodeId, int] = NO_PASSAGES,
    environments: Mapping[NodeId, str] = NO_ENVIRONMENTS,
    log_cap_bytes: int = LOG_CAP_BYTES,
    tracking: Tracking = NO_TRACKING,
) -> Mapping[NodeId, NodeStart]:
    """What each node of the job's current attempt starts.

    ``environments``: the digest of the built environment by node, where there is one. ``master_port`` 0: nobody was
    asked for a free one. ``ports``: the free ones of all nodes, in the order of their shares. ``passages``: of each
    node that does not stand at the first one's site, the port of its loopback that leads there.
    """
    gang = _gang(job, allocation, nodes, master_port, cluster, environments, ports, tracking)
    gang = replace(gang, passages=passages)
    launcher = launcher_of(job.spec)
    return {
        share.node: _node_start(gang, launcher, index, share, log_cap_bytes)
        for index, share in enumerate(allocation.shares)
    }


def check(
    job: Job,
    allocation: Allocation,
    nodes: Mapping[NodeId, Node],
    environments: Mapping[NodeId, str] = NO_ENVIRONMENTS,
) -> Refusal | None:
    """Why this gang must not be started, asked before anything is."""
    gang = _gang(job, allocation, nodes, 0, "", environments)
    return launcher_of(job.spec).check(gang)


def ends_with_first_node(spec: JobSpec) -> bool:
    """Whether the gang is over when rank 0's node is: the others only hold what was started from there."""
    return launcher_of(spec).spawn


def needs_port(job: Job, allocation: Allocation) -> bool:
    """Whether rank 0's node has to find a free port that its peers can reach."""
    return allocation.world_size > 1 or launcher_of(job.spec).always_port


def needs_prepare(job: Job, allocation: Allocation) -> bool:
    """Whether ``prepare`` has anything to do before ``start``: files, an environment or a port."""
    spec = job.spec
    env = spec.environment
    has_files = bool(spec.workdir or spec.mounts or env.requirements or env.python or env.venv)
    return has_files or job.checkpoint is not None or needs_port(job, allocation)


def checkpoint_signal(spec: JobSpec) -> int | None:
    """What asks the ranks for a checkpoint; None where they keep none."""
    if spec.checkpoint is None:
        return None
    return int(signal.Signals[f"SIG{spec.checkpoint.signal}"])


def _gang(
    job: Job,
    allocation: Allocation,
    nodes: Mapping[NodeId, Node],
    master_port: int,
    cluster: str,
    environments: Mapping[NodeId, str],
    ports: tuple[int, ...] = (),
    tracking: Tracking = NO_TRACKING,
) -> Gang:
    # A lone rank may still rendezvous with itself: the number keeps jobs of one node apart.
    port = master_port or 20_000 + job.number * 37 % 20_000
    return Gang(job, allocation, nodes, job.tag, port, cluster, environments, ports, tracking)


def _node_start(gang: Gang, launcher: Launcher, index: int, share: Share, log_cap_bytes: int) -> NodeStart:
    node = gang.nodes[share.node]
    others = [
        other.node
        for other in gang.allocation.shares
        if other.node != share.node and gang.nodes[other.node].site == node.site
    ]
    cpus = tuple(sorted(set(share.cpus)))
    setup = Process("setup", -1, ("bash", "-c", gang.spec.setup), cpus=cpus) if gang.spec.setup else None
    return NodeStart(
        processes=launcher.processes(gang, index, share),
        setup=setup,
        hold=not gang.alone,
        env={**node_environment(gang, node), **launcher.node_env(gang, node)},
        peers=tuple(gang.nodes[other].address for other in others),
        files={HOSTFILE: hostfile(gang), **launcher.files(gang, index, share)},
        spawn=launcher.spawn and not gang.alone,
        scratch=dict(launcher.scratch),
        log_cap_bytes=log_cap_bytes,
    )
