"""A trace: jobs with the time at which they come and the time they really run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from beowulf.model.job import JobSpec, Resources
from beowulf.model.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class TraceJob:
    """``run_s`` is what nobody knows beforehand; the spec's limit is what its owner said. Times in seconds."""

    submitted_at: float
    run_s: float
    spec: JobSpec
    owner: str = "user"


@dataclass(frozen=True, slots=True)
class Trace:
    """``jobs`` in the order they come; ``left_out``: what was in the file and cannot be replayed, by reason."""

    jobs: tuple[TraceJob, ...]
    left_out: Mapping[str, int]


def of_processors(spec: JobSpec, processors: int, cluster: Snapshot) -> JobSpec:
    """``spec`` over as few nodes as hold so many threads, evenly: traces count processors, we count nodes."""
    sizes = [len(node.usable_cpus) for node in cluster.nodes.values()]
    most = max(sizes, default=1)
    nodes = -(-processors // most)
    each = -(-processors // nodes)
    return replace(spec, min_nodes=nodes, max_nodes=nodes, resources=Resources(cpus=each))
