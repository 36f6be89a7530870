"""What decides where a job fits. Jobs of equal requests get equal answers, so each is worked out once per tick."""

from __future__ import annotations

from dataclasses import dataclass, field

from beowulf.model.job import Job, JobSpec, Resources, Result
from beowulf.model.node import NodeId

SHORT_S = 3600.0  # a job of one node that ends within it is soon run again


@dataclass(frozen=True, slots=True)
class Request:
    resources: Resources
    procs: int  # ranks per node
    min_nodes: int
    max_nodes: int
    nodelist: tuple[NodeId, ...]
    exclude: tuple[NodeId, ...]
    group: str
    system_mpi: bool
    site: str = ""
    cpu_model: str = ""  # only nodes with this kind of processor
    steady: bool = False  # rather on nodes that were not lost lately: the loss of one would cost much
    rented: bool = False  # rented nodes will do, too
    avoid: tuple[NodeId, ...] = ()  # an earlier attempt of the job was not swept there yet
    owner: str = ""  # where that decides which GPUs it may share
    _hash: int = field(init=False, repr=False, compare=False, default=0)  # asked for thousands of times per plan

    def __post_init__(self) -> None:
        kind = (
            self.resources,
            self.procs,
            self.min_nodes,
            self.max_nodes,
            self.group,
            self.site,
            self.steady,
            self.rented,
            self.cpu_model,
            self.system_mpi,
        )
        object.__setattr__(self, "_hash", hash((kind, self.nodelist, self.exclude, self.avoid)))

    def __hash__(self) -> int:
        return self._hash

    @property
    def cpus(self) -> int:
        """Hardware threads of one node; of no meaning with ``all_cpus``."""
        return self.resources.cpus or self.procs


def request_of(spec: JobSpec, owner: str, avoid: tuple[NodeId, ...] = (), most_nodes: int = 0) -> Request:
    """``most_nodes`` above 0 is a limit besides the spec's own."""
    max_nodes = max(spec.min_nodes, spec.max_nodes)
    return Request(
        resources=spec.resources,
        procs=spec.procs_per_node or spec.resources.gpus or 1,
        min_nodes=spec.min_nodes,
        max_nodes=min(max_nodes, max(spec.min_nodes, most_nodes or max_nodes)),
        nodelist=spec.nodelist,
        exclude=spec.exclude,
        group=spec.group,
        system_mpi=spec.environment.system_mpi,
        site=spec.site,
        steady=spec.min_nodes > 1 or not 0.0 < spec.max_duration_s < SHORT_S,
        rented=spec.burst.policy != "never",
        avoid=avoid,
        owner=owner if spec.resources.shares_gpu else "",
    )


def unswept(job: Job) -> tuple[NodeId, ...]:
    """Nodes where an earlier attempt of this very job may still be alive."""
    return tuple(
        sorted({node for attempt in job.attempts for node, state in attempt.shares.items() if state != "CLEARED"})
    )


def shunned(job: Job) -> tuple[NodeId, ...]:
    """Nodes that a resize gave to the last attempt, which never came to run: they are left alone for a while."""
    if len(job.attempts) < 2 or job.attempts[-1].started_at or job.attempts[-2].ending is not Result.RESIZED:
        return ()
    before, last = job.attempts[-2:]
    return tuple(sorted(set(last.allocation.nodes) - set(before.allocation.nodes)))
