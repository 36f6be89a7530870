"""A machine we may run on: how to reach it (`Endpoint`), what it is (`Facts`), where it stands (`Node`)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeAlias

NodeId: TypeAlias = str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How the head reaches a node. ``local`` nodes have no SSH: the agent runs over a pipe."""

    host: str
    port: int = 22
    user: str = ""  # "": as ~/.ssh/config says, else the head's own user
    proxy_jump: str = ""  # "user@host:port", or "none" to ignore ~/.ssh/config
    identity_file: str = ""
    local: bool = False


@dataclass(frozen=True, slots=True)
class Gpu:
    index: int
    kind: str  # "RTX3090", "H200": the short name used in job files
    vendor: str  # nvidia, amd, gaudi, neuron, tpu
    name: str  # as the driver spells it
    memory_mib: int
    uuid: str = ""
    driver: str = ""
    compute_capability: str = ""  # "8.6"; "" where the vendor has no such notion
    healthy: bool = True
    complaint: str = ""
    foreign: str = ""  # who else uses it, as a sentence's end; "": nobody but jobs of ours

    @property
    def usable(self) -> bool:
        return self.healthy and not self.foreign


@dataclass(frozen=True, slots=True)
class Interface:
    name: str
    addresses: tuple[str, ...]
    speed_mbit: int = 0  # 0: not known
    up: bool = True


@dataclass(frozen=True, slots=True)
class FileSystem:
    path: str
    free_mib: int
    total_mib: int
    kind: str = ""
    healthy: bool = True
    complaint: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the node said of itself. Sizes in MiB, times in seconds."""

    hostname: str = ""
    machine_id: str = ""
    boot_id: str = ""
    processes: str = ""  # which processes it sees: other ones in each container of a machine; "": not told
    os: str = ""
    kernel: str = ""
    arch: str = ""
    glibc: str = ""
    cpu_model: str = ""
    sockets: int = 1
    cores: int = 1
    cpus: tuple[int, ...] = (0,)  # hardware threads the node user may run on, by number
    instruction_sets: tuple[str, ...] = ()  # of: sse4_2, avx, avx2, fma, f16c, avx512f, amx_tile, …
    memory_mib: int = 0
    memory_free_mib: int = 0
    home: str = ""
    user: str = ""
    uid: int = -1
    file_systems: tuple[FileSystem, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    route_interface: str = ""  # the one whose address the head and the peers see
    gpus: tuple[Gpu, ...] = ()
    slowed: tuple[str, ...] = ()  # why its clocks are low, as sentences
    pythons: tuple[str, ...] = ()  # "3.6.8 /usr/bin/python3", best first
    agent_python: str = ""
    mpi: str = ""  # "Open MPI 4.1.4"; "": none
    clock_skew_s: float = 0.0  # node minus head
    logind_kills: bool = False  # KillUserProcesses=yes
    ssh_server: str = ""
    complaints: tuple[str, ...] = ()  # probes that gave up, as sentences
    foreign_cpus: tuple[int, ...] = ()  # threads that others keep busy, as many as they are worth
    foreign: str = ""  # who keeps them busy, as a sentence


@dataclass(frozen=True, slots=True)
class DeviceSpeed:
    """Rates of single precision. Only those of one package are comparable: ``method`` names it, with its version."""

    device: str  # "cpu" (all its threads together) or "gpu 0", by driver index
    method: str  # "torch 2.13.0", "numpy 1.26.4" or "python"
    gflops: float  # of a matrix product
    memory_gb_s: float  # read and written, of a large copy
    threads: int = 0  # of a cpu

    @property
    def package(self) -> str:
        return self.method.split()[0] if self.method else ""


@dataclass(frozen=True, slots=True)
class LineSpeed:
    """From this node to ``peer``. MB = 10⁶ bytes."""

    peer: NodeId
    megabytes_per_s: float = 0.0
    round_trip_ms: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """What `beowulf nodes bench` measured; ``measured_at`` 0: never. ``links`` also hold ways between sites, measured
    before a gang starts over them."""

    measured_at: float = 0.0
    devices: tuple[DeviceSpeed, ...] = ()
    links: tuple[LineSpeed, ...] = ()


MEMORY_S = 14 * 86400.0


@dataclass(frozen=True, slots=True)
class Failures:
    """How often a node was lost while it was up: a count whose entries fade (by 1/e in `MEMORY_S`), as of ``at``."""

    weight: float = 0.0
    at: float = 0.0

    def faded(self, now: float) -> Failures:
        passed_s = max(0.0, now - self.at)
        return Failures(self.weight * math.exp(-passed_s / MEMORY_S), max(now, self.at)) if self.weight else self

    def counted(self, now: float) -> Failures:
        faded = self.faded(now)
        return Failures(faded.weight + 1.0, max(now, faded.at))

    def per_hour(self, now: float) -> float:
        """At a steady rate r the weight comes to r·`MEMORY_S`."""
        return self.faded(now).weight / (MEMORY_S / 3600.0)


UNSEEN = 0.25  # failures in `MEMORY_S` that any node is believed capable of


class NodeState(StrEnum):
    """`UNKNOWN` until the first link; `DOWN` when three heartbeats were missed or the link cannot be made."""

    UNKNOWN = "UNKNOWN"
    UP = "UP"
    DOWN = "DOWN"


@dataclass(frozen=True, slots=True)
class Node:
    id: NodeId
    endpoint: Endpoint
    generation: int  # grows when a node of this name is added again
    host_key: str = ""  # pinned: "ssh-ed25519 AAAA…"; "" for local nodes
    groups: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    site: str = "lab"
    rented: bool = False  # somebody pays for it by the second
    max_cpus: int = 0  # the admin's limit; 0: all
    max_memory_mib: int = 0
    share_gpus: int = 1  # so many jobs at most on one GPU
    share_between_users: bool = False  # also those of different users
    state: NodeState = NodeState.UNKNOWN
    reason: str = ""  # why it is down or drained
    drained: bool = False
    draining_reason: str = ""
    same_as: NodeId = ""  # the name that already stands for this machine: this one gets no jobs
    facts: Facts = Facts()
    root: str = ""  # the agent's folder on the node, absolute
    changed_at: float = 0.0
    profile: Profile = Profile()
    failures: Failures = Failures()

    @property
    def flakiness(self) -> int:
        """0: not lost lately; 1, 2, …: about so often; 4: more."""
        return min(4, round(self.failures.weight))

    @property
    def usable_cpus(self) -> tuple[int, ...]:
        return self.facts.cpus[: self.max_cpus] if self.max_cpus else self.facts.cpus

    @property
    def open_cpus(self) -> tuple[int, ...]:
        """Those that no process of others keeps busy."""
        others = self.facts.foreign_cpus
        return tuple(cpu for cpu in self.usable_cpus if cpu not in others) if others else self.usable_cpus

    @property
    def others(self) -> tuple[str, ...]:
        """What processes that are not ours keep from our jobs, as sentences."""
        gpus = tuple(f"GPU {gpu.index} is {gpu.foreign}" for gpu in self.facts.gpus if gpu.foreign)
        return (*gpus, *((self.facts.foreign,) if self.facts.foreign_cpus else ()))

    @property
    def usable_memory_mib(self) -> int:
        total = self.facts.memory_mib
        return min(total, self.max_memory_mib) if self.max_memory_mib else total

    @property
    def schedulable(self) -> bool:
        return self.state is NodeState.UP and not self.drained and not self.same_as

    @property
    def machine(self) -> str:
        """The same for all names and addresses of one machine, another after each boot; "": not known."""
        facts = self.facts
        return f"{facts.boot_id} {facts.processes}" if facts.boot_id and facts.processes else ""

    @property
    def address(self) -> str:
        """The address its peers reach it by: that of the interface which routes to them."""
        for interface in self.facts.interfaces:
            if interface.name == self.facts.route_interface and interface.addresses:
                return interface.addresses[0]
        return self.endpoint.host


def same_machine(node: NodeId, other: NodeId) -> str:
    """Why ``node`` gets no jobs, and what to do."""
    return f"it is the same machine as {other}, which goes on: beowulf nodes remove {node}"


def without_others(node: Node) -> Node:
    """As if nobody but jobs of ours used it."""
    gpus = tuple(replace(gpu, foreign="") for gpu in node.facts.gpus)
    return replace(node, facts=replace(node.facts, gpus=gpus, foreign_cpus=(), foreign=""))


def gang_mtbf_s(nodes: Iterable[Node]) -> float:
    """Mean time between failures of a gang that any of these brings down, by what was seen of them lately."""
    return MEMORY_S / sum(node.failures.weight + UNSEEN for node in nodes)
