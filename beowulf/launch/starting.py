"""What a node is told to start, and what a launcher is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from beowulf.agent.wire import MAX_HEADER_BYTES
from beowulf.model.allocation import Allocation, Share
from beowulf.model.job import Job, JobSpec
from beowulf.model.node import Node, NodeId
from beowulf.model.tracking import Tracking

LOG_CAP_BYTES = 1 << 30
FIELDS_BYTES = 4096  # of a `start` frame, for what the controller adds


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why this gang cannot be launched on these nodes."""

    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Process:
    """One process of a node. ``rank`` is -1 for what is no rank (``mpirun``, ``setup``); no ``cpus``: not pinned."""

    id: str
    rank: int
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "."  # relative to the work folder
    cpus: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeStart:
    """Everything a ``start`` frame holds except attempt, lease and grace.

    ``files`` are relative to the attempt's folder, not to the work folder, where only the job's own files are.
    """

    processes: tuple[Process, ...]
    setup: Process | None = None
    hold: bool = False
    env: Mapping[str, str] = field(default_factory=dict)  # of every process, and of daemons started for a peer
    peers: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    spawn: bool = False
    scratch: Mapping[str, str] = field(default_factory=dict)  # variables that shall name a folder below these
    fail_fast: bool = True
    log_cap_bytes: int = LOG_CAP_BYTES

    def frame(self) -> dict[str, Any]:
        """The fields as the wire wants them: tuples become lists when written as JSON. What all processes run is
        written once: 128 ranks of one script would fill a frame with it."""
        fields = asdict(self)
        if len(self.processes) > 1 and len({process.argv for process in self.processes}) == 1:
            fields["argv"] = self.processes[0].argv
            for process in fields["processes"]:
                del process["argv"]
        return fields


def too_long(frame: Mapping[str, Any]) -> str:
    """Why a node cannot be told to start that, as a sentence; "": it can."""
    size = len(json.dumps(frame, separators=(",", ":")))
    if size <= MAX_HEADER_BYTES - FIELDS_BYTES:
        return ""
    most = f"{size / 2**20:.1f} MiB of script, arguments and variables, where {MAX_HEADER_BYTES >> 20} MiB is the most"
    return f"{most}: put what is long into a file"


@dataclass(frozen=True, slots=True)
class Gang:
    """All that the launchers work from."""

    job: Job
    allocation: Allocation
    nodes: Mapping[NodeId, Node]
    tag: str
    master_port: int
    cluster: str
    environments: Mapping[NodeId, str]  # digests
    ports: tuple[int, ...] = ()  # a free one per share
    tracking: Tracking = Tracking()
    # By node of another site: the port of its loopback that leads to rank 0's.
    passages: Mapping[NodeId, int] = field(default_factory=dict)

    @property
    def spec(self) -> JobSpec:
        return self.job.spec

    @property
    def first(self) -> Node:
        """Rank 0's node."""
        return self.nodes[self.allocation.shares[0].node]

    @property
    def alone(self) -> bool:
        return len(self.allocation.shares) == 1

    @property
    def master_address(self) -> str:
        return "127.0.0.1" if self.alone else self.first.address

    @property
    def sites(self) -> tuple[int, ...]:
        """By rank: the number of its site, as they first come."""
        names = [self.nodes[share.node].site for share in self.allocation.shares for _ in share.ranks]
        numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
        return tuple(numbers[name] for name in names)

    def meeting(self, node: NodeId) -> tuple[str, int]:
        """Where the ranks of ``node`` find rank 0: address and port."""
        if node in self.passages:
            return "127.0.0.1", self.passages[node]
        return self.master_address, self.master_port

    def attempt_folder(self, node: Node) -> str:
        return f"{node.root}/attempts/{self.tag}"

    def environment_folder(self, node: Node) -> str:
        """Where the job's Python lives on this node; "" when it is the node's own."""
        digest = self.environments.get(node.id)
        return f"{node.root}/envs/{digest}" if digest else self.spec.environment.venv

    @property
    def rank_command(self) -> tuple[str, ...]:
        return self.spec.argv or ("bash", "-c", self.spec.script)


@dataclass(frozen=True, slots=True)
class Launcher:
    """A way to start ranks: a row of the table in ``launchers.py``.

    ``processes`` says what runs on one share; ``node_env`` and ``files`` add to every node's environment and files;
    ``check`` refuses gangs that could not work; ``spawn``: ranks' tools may ask for daemons on the gang's other nodes;
    ``scratch``: variables that name a folder of the attempt below these, which goes with it.
    """

    processes: Callable[[Gang, int, Share], tuple[Process, ...]]
    check: Callable[[Gang], Refusal | None] = lambda gang: None
    node_env: Callable[[Gang, Node], dict[str, str]] = lambda gang, node: {}
    files: Callable[[Gang, int, Share], dict[str, str]] = lambda gang, index, share: {}
    spawn: bool = False
    scratch: Mapping[str, str] = field(default_factory=dict)
    always_port: bool = False  # also a single rank listens on MASTER_PORT
