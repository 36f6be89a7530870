"""What the nodes of an attempt are told to start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from beowulf import launch
from beowulf.controller.draft import Draft
from beowulf.model.job import Job
from beowulf.model.node import Node, NodeId
from beowulf.sync.environment import environment_digest


def orders(draft: Draft, job: Job, nodes: Sequence[NodeId]) -> Mapping[NodeId, dict[str, Any]]:
    """Of each of ``nodes`` the fields of its ``start`` frame, but for attempt, lease and grace."""
    attempt = job.attempt
    assert attempt is not None
    members = {node: draft.snapshot.nodes[node] for node in attempt.allocation.nodes if node in draft.snapshot.nodes}
    starts = launch.processes(
        job,
        attempt.allocation,
        members,
        master_port=attempt.master_port,
        ports=attempt.ports,
        passages=draft.volatile.gathering(job.tag).passages,
        cluster=draft.policy.cluster,
        environments={name: environment_of(job, node) for name, node in members.items()},
        log_cap_bytes=draft.policy.log_cap_bytes,
        tracking=draft.policy.tracking,
    )
    return {node: starts[node].frame() for node in nodes}


def environment_of(job: Job, node: Node) -> str:
    """The digest of the job's environment there; "" where it has none."""
    digest = environment_digest(job.spec.environment, node.facts)
    return digest if isinstance(digest, str) else ""  # refused at `prepare`, which comes first
