"""A job: what was asked for (`JobSpec`), where it stands (`Job`) and its tries (`Attempt`).

A job is asked for once and may be tried several times; only the newest attempt counts. States are few and
say what the cluster is doing; how a job ended is kept apart, in `Result`. The word users see
(PENDING … COMPLETED, FAILED, …) is `Job.word`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from beowulf.model.allocation import Allocation

JobId: TypeAlias = str
"""``"17"``, or ``"17_3"`` for task 3 of the array job 17."""


class Launcher(StrEnum):
    COMMAND = "command"
    MPI = "mpi"
    HOROVOD = "horovod"
    TORCHRUN = "torchrun"
    TENSORFLOW = "tensorflow"


class JobState(StrEnum):
    PENDING = "PENDING"
    CONFIGURING = "CONFIGURING"  # placed: files travel, nodes prepare, setup runs
    RUNNING = "RUNNING"  # every node of the gang said its ranks were started
    COMPLETING = "COMPLETING"  # the end is decided; nodes are being cleared
    ENDED = "ENDED"


class Result(StrEnum):
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMEOUT = "TIMEOUT"
    NODE_FAIL = "NODE_FAIL"
    PREEMPTED = "PREEMPTED"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    RESIZED = "RESIZED"  # of an attempt only: the job goes on with more nodes, fewer, or faster ones


@dataclass(frozen=True, slots=True)
class Resources:
    """What one node of the gang must offer. Memory and disk in MiB."""

    cpus: int = 0  # hardware threads; 0: one per rank
    all_cpus: bool = False  # every free thread of a node nobody else uses
    memory_mib: int = 0
    disk_mib: int = 0
    gpus: int = 0
    gpu_kinds: tuple[str, ...] = ()  # any of these names; empty: any GPU
    gpu_memory_mib: int = 0  # each of these has at least so much
    gpu_capability: str = ""  # at least this compute capability ("7.5"); "": any, also GPUs that have no such notion
    gpu_fraction: float = 0.0  # of one GPU, which other jobs may use as well; 0: whole ones
    gpu_part_mib: int = 0  # likewise, in MiB of its memory

    @property
    def shares_gpu(self) -> bool:
        return bool(self.gpu_fraction or self.gpu_part_mib)


@dataclass(frozen=True, slots=True)
class Environment:
    """The Python the ranks run with. At most one of ``venv`` and ``requirements`` is set."""

    python: str = ""  # "3.11"; "": the node's own
    requirements: tuple[str, ...] = ()  # requirement lines, already read from the file
    venv: str = ""  # absolute path of an environment that is on every node
    system_mpi: bool = False


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder (or file) packed at submit; ``digest`` names its content in the head's tree store."""

    digest: str
    size_bytes: int
    files: int
    source: str  # where it came from, for people


@dataclass(frozen=True, slots=True)
class Mount:
    """``tree`` appears at ``target`` on every node: relative to the work folder, or absolute under home (``~/``)."""

    target: str
    tree: Tree


@dataclass(frozen=True, slots=True)
class Retry:
    on: tuple[str, ...] = ("node_fail",)  # of: node_fail, preempted, error
    max: int = 3


SELDOM = ("local-sgd", "diloco")
"""Modes whose ranks step on their own and exchange parameters now and then: slow lines do for them."""


@dataclass(frozen=True, slots=True)
class Communication:
    """How `beowulf.train` shares what ranks learn."""

    mode: str = "exact"  # exact, fp16, powersgd, local-sgd, diloco; auto: the cheapest of exact and ``allow``
    allow: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Checkpointing:
    """Where the ranks keep their checkpoints, and the signal that asks for one."""

    path: str  # a folder below the work folder
    signal: str = "USR1"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The newest checkpoint the head holds of a job: a tree named by its digest, made by one node of an attempt."""

    attempt: int
    node: str
    step: int  # optimizer steps done; 0 where its format does not say
    tree: Tree
    at: float


@dataclass(frozen=True, slots=True)
class Burst:
    """Whether rented machines may be bought for the job, and for how much. Money in US dollars."""

    policy: str = "never"  # never, auto: where it finishes sooner within the money, prefer: whenever it is allowed
    use_spot: bool = True
    on_demand: bool = True  # machines nobody takes back before the job is done
    max_price_usd: float = 0.0  # per machine and hour; 0: no limit of its own
    budget_usd: float = 0.0  # for the whole job; 0: no limit of its own
    deadline_s: float = 0.0  # it shall have ended so long after its submit; 0: none
    providers: tuple[str, ...] = ()  # only these; empty: all that are configured
    results_mib: int = 0  # what it brings home, for the price of the way; 0: not told
    stretch: bool = False  # its gang may stand at two sites: nodes here and rented machines
    model_mib: int = 0  # of the parameters that ranks then exchange; 0: not told


@dataclass(frozen=True, slots=True)
class Dependency:
    kind: str  # afterok, afternotok, afterany
    job_id: JobId


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What a researcher asked for, after reading, checking and filling in defaults. Times in seconds."""

    name: str
    script: str  # shell text, run once per rank …
    argv: tuple[str, ...] = ()  # … or, when not empty, exactly these arguments and no shell
    launcher: Launcher = Launcher.COMMAND
    setup: str = ""  # shell text, run once per node before any rank starts
    min_nodes: int = 1
    max_nodes: int = 1
    procs_per_node: int = 0  # 0: one per GPU, or one
    resources: Resources = Resources()
    environment: Environment = Environment()
    envs: Mapping[str, str] = field(default_factory=dict)
    workdir: Tree | None = None
    mounts: tuple[Mount, ...] = ()
    outputs: tuple[str, ...] = ()  # paths relative to the work folder, brought home after the end
    submit_dir: str = ""
    max_duration_s: float = 0.0  # 0: no limit
    kill_grace_s: float = 10.0
    priority: int = 0
    queue: str = "default"
    project: str = ""  # what it is for: fair share, quotas and budgets go by it; "": none
    service_class: str = ""  # of the settings file's scheduler.classes; "": none
    dependencies: tuple[Dependency, ...] = ()
    retry: Retry = Retry()
    checkpoint: Checkpointing | None = None
    on_rank_loss: str = "fail"  # fail, requeue, shrink
    torch_elastic: bool = False  # the real elastic agent instead of static rendezvous
    horovod_controller: str = "mpi"  # mpi, gloo
    communication: Communication = Communication()
    burst: Burst = Burst()
    nodelist: tuple[str, ...] = ()  # only these nodes; empty: any
    exclude: tuple[str, ...] = ()
    group: str = ""  # only nodes of this inventory group
    site: str = ""  # only nodes of this site: "lab", "aws:us-east-1", or all of "aws"
    family: str = ""  # work of one family takes equally long per step on one kind of device; "": name, user, launcher
    steps: int = 0  # optimizer steps it will take in all; 0: not told
    mix_devices: bool = False  # its ranks split each step by their speeds: they may be of unlike kinds where that pays

    @property
    def budget(self) -> str:
        """Whose money rented machines cost: its project's or, where it names none, its queue's."""
        return self.project or self.queue

    @property
    def elastic(self) -> bool:
        """Whether it can go on from a checkpoint with another number of nodes."""
        return self.checkpoint is not None and self.max_nodes > self.min_nodes


class ShareState(StrEnum):
    """Where one node of an attempt stands."""

    PLACED = "PLACED"
    RUNNING = "RUNNING"
    CLEARED = "CLEARED"  # the keeper swept: nothing of the attempt is left there


@dataclass(frozen=True, slots=True)
class RankExit:
    """How one process of an attempt ended. ``at`` is seconds since the epoch by the head's clock."""

    process: str  # "0", "1", … a rank; or "mpirun", "setup"
    node: str
    code: int  # exit status; 128 + n for signal n
    signal: int = 0
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Attempt:
    number: int  # 1, 2, …
    allocation: Allocation
    placed_at: float
    shares: Mapping[str, ShareState]  # by node
    launched_at: float = 0.0  # since when `start` may have reached a node
    master_port: int = 0
    ports: tuple[int, ...] = ()  # the free one of each node, in the order of the shares
    started_at: float = 0.0
    ending: Result | None = None  # decided, while nodes are being cleared
    reason: str = ""
    exits: tuple[RankExit, ...] = ()
    ended_at: float = 0.0
    from_step: int = 0  # of the checkpoint it began with
    resize_to: int = 0  # nodes of the next attempt, when this one ends to make way for it
    steps_per_s: float = 0.0  # as its ranks reported; 0: not known

    @property
    def cleared(self) -> bool:
        return all(state is ShareState.CLEARED for state in self.shares.values())


@dataclass(frozen=True, slots=True)
class Job:
    id: JobId
    number: int
    spec: JobSpec
    owner: str
    uid: int
    submitted_at: float
    array_index: int | None = None
    state: JobState = JobState.PENDING
    result: Result | None = None
    reason: str = ""  # why it waits, or why it ended so
    cancelled_by: str = ""
    attempts: tuple[Attempt, ...] = ()  # oldest first; the last one is current
    retries: int = 0
    ended_at: float = 0.0
    checkpoint: Checkpoint | None = None
    resuming: bool = False  # waits to go on: before everything else of its priority
    promised_at: float = 0.0  # the start that its first reservation promised; 0: none so far
    most_nodes: int = 0  # what a resize decided for the next attempt; 0: as many as the spec allows

    @property
    def attempt(self) -> Attempt | None:
        return self.attempts[-1] if self.attempts else None

    @property
    def live(self) -> bool:
        return self.state is not JobState.ENDED

    @property
    def word(self) -> str:
        """The state as users of the field know it."""
        return self.result.value if self.state is JobState.ENDED and self.result else self.state.value

    @property
    def tag(self) -> str:
        """``job.attempt``: what every process, folder and message of the current attempt is named by."""
        return f"{self.id}.{len(self.attempts)}"


def split_tag(tag: str) -> tuple[JobId, int]:
    """``"17_3.2"`` → ``("17_3", 2)``."""
    job_id, _, number = tag.rpartition(".")
    return job_id, int(number)
