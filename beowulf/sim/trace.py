"""A trace: jobs with the time at which they come and the time they really run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from beowulf.model.job import JobSpec, Resources
from beowulf.model.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class TraceJob:
    """``run_s`` is what nobody knows beforehand; the spec's limit is what its owner said. Times in seconds.

    ``rates``: the steps/s it really does on each kind of device with its ranks, where devices are unequal; ``run_s`` is
    then that on the fastest. With a checkpoint in its spec, such a job reports its pace, and can go on elsewhere.
    """

    submitted_at: float
    run_s: float
    spec: JobSpec
    owner: str = "user"
    rates: Mapping[str, float] | None = None
    faster: Mapping[str, float] = field(default_factory=dict)  # where only that is known: by kind, times its own pace

    def seconds_on(self, kinds: Iterable[str]) -> float:
        """As ``faster`` says; not longer than its limit."""
        run_s = self.run_s / min((self.faster.get(kind, 1.0) for kind in kinds), default=1.0)
        return min(run_s, max(self.run_s, self.spec.max_duration_s)) if self.spec.max_duration_s else run_s

    def steps_per_s(self, kinds: Iterable[str]) -> float:
        """On devices of these kinds together: as fast as the slowest of them; 0 where nothing tells them apart."""
        return min((self.rates.get(kind, 0.0) for kind in kinds), default=0.0) if self.rates else 0.0


@dataclass(frozen=True, slots=True)
class Trace:
    """``jobs`` in the order they come; ``left_out``: what was in the file and cannot be replayed, by reason."""

    jobs: tuple[TraceJob, ...]
    left_out: Mapping[str, int]
    told: Mapping[str, Mapping[tuple[str, int], float]] = field(default_factory=dict)  # steps/s, as `Rules.told`


def unheard_of(trace: Trace, before: Snapshot, after: Snapshot) -> list[str]:
    """Kinds of GPU that are new to the cluster, and of which nothing says how fast the trace's jobs are there."""
    if not any(job.spec.resources.gpus for job in trace.jobs):
        return []
    told = {kind for job in trace.jobs for kind in (*job.faster, *(job.rates or ()))}
    return sorted(_gpu_kinds(after) - _gpu_kinds(before) - told)


def _gpu_kinds(cluster: Snapshot) -> set[str]:
    return {gpu.kind for node in cluster.nodes.values() for gpu in node.facts.gpus}


def bursting(trace: Trace, policy: str) -> Trace:
    """The same jobs, but machines may be rented for each (`Burst.policy`)."""
    specs = {id(job.spec): replace(job.spec, burst=replace(job.spec.burst, policy=policy)) for job in trace.jobs}
    return replace(trace, jobs=tuple(replace(job, spec=specs[id(job.spec)]) for job in trace.jobs))


def of_processors(spec: JobSpec, processors: int, cluster: Snapshot) -> JobSpec:
    """``spec`` over as few nodes as hold so many threads, evenly: traces count processors, we count nodes."""
    sizes = [len(node.usable_cpus) for node in cluster.nodes.values()]
    most = max(sizes, default=1)
    nodes = -(-processors // most)
    each = -(-processors // nodes)
    return replace(spec, min_nodes=nodes, max_nodes=nodes, resources=Resources(cpus=each))
