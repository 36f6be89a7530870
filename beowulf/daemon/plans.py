"""What would become of a job, and what the queue starts next: the real plan and the real commands, and nothing done."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from beowulf import launch, scheduler
from beowulf.daemon.reasons import burst_answer
from beowulf.launch import NodeStart
from beowulf.model.codec import plain
from beowulf.model.job import Job, JobSpec, Tree
from beowulf.model.node import Node, NodeId
from beowulf.model.rules import Rules
from beowulf.model.snapshot import Snapshot
from beowulf.sync.environment import environment_digest

NEXT = 50


def dry_run(
    snapshot: Snapshot,
    spec: JobSpec,
    array: Sequence[int],
    now: float,
    rules: Rules,
    has: Callable[[str], bool],
    owner: str = "",
) -> dict[str, Any]:
    """What would start where, now and on the idle cluster, with which commands; what travels, and what that costs.

    ``has``: whether the head holds a folder already; ``owner``: whose money it would be.
    """
    spec = replace(spec, project=spec.project or rules.project_of(owner))
    placed = scheduler.dry_run(snapshot, spec, now)
    idle = scheduler.dry_run(snapshot, spec, now, idle=True)
    fits, fits_idle = isinstance(placed, scheduler.Placement), isinstance(idle, scheduler.Placement)
    answer: dict[str, Any] = {
        "tasks": max(1, len(array)),
        "fits": fits,
        "reason": placed.sentence if isinstance(placed, scheduler.Refusal) else "",
        "fits_idle": fits_idle,
        "reason_idle": idle.sentence if isinstance(idle, scheduler.Refusal) else "",
    }
    chosen = placed if fits else idle
    if isinstance(chosen, scheduler.Placement):
        answer["allocation"] = plain(chosen.allocation)
        answer |= _starting(snapshot, spec, chosen)
        answer["held"] = _held(snapshot, chosen, spec)
    answer["staging"] = _staging(spec, has)
    answer["burst"] = burst_answer(scheduler.comparison_of(snapshot, now, spec, owner, rules))
    return answer


def _starting(snapshot: Snapshot, spec: JobSpec, placed: scheduler.Placement) -> dict[str, Any]:
    """``commands`` by process and ``ranks`` with their environment. The number, tag and port of a real start differ."""
    job = Job("0", 0, spec, "", 0, 0.0)
    members = {node: snapshot.nodes[node] for node in placed.allocation.nodes}
    digests = _environments(spec, members)
    starts = launch.processes(job, placed.allocation, members, master_port=0, cluster="", environments=digests)
    return {
        "commands": [
            {"node": node, "process": process.id, "argv": list(process.argv)}
            for node, start in starts.items()
            for process in start.processes
        ],
        "ranks": [
            {"rank": rank, "node": node, "env": dict(env)}
            for node, start in starts.items()
            for rank, env in _ranks(start).items()
        ],
    }


def _environments(spec: JobSpec, members: Mapping[NodeId, Node]) -> dict[NodeId, str]:
    found = {name: environment_digest(spec.environment, node.facts) for name, node in members.items()}
    return {name: digest for name, digest in found.items() if isinstance(digest, str) and digest}


def _ranks(start: NodeStart) -> Mapping[int, Mapping[str, str]]:
    """The environment by rank: of its process, or as the wrapper under mpirun sets it."""
    if launch.RANKS_FILE in start.files:
        wrapped = json.loads(start.files[launch.RANKS_FILE])
        return {int(rank): {**start.env, **one["env"]} for rank, one in wrapped.items()}
    return {one.rank: {**start.env, **one.env} for one in start.processes if one.rank >= 0}


def _held(snapshot: Snapshot, placed: scheduler.Placement, spec: JobSpec) -> dict[str, Any]:
    """``longest_s`` 0: nobody knows. ``hourly_usd``: of those machines that are rented already."""
    shares = placed.allocation.shares
    rented = [snapshot.machines[node] for node in placed.allocation.nodes if node in snapshot.machines]
    return {
        "threads": sum(share.threads for share in shares),
        "gpus": sum(share.gpu_count for share in shares),
        "longest_s": spec.max_duration_s,
        "hourly_usd": sum(machine.hourly_usd for machine in rented),
    }


def _staging(spec: JobSpec, has: Callable[[str], bool]) -> dict[str, Any]:
    """What every node of the gang gets unless it kept it from an earlier job."""
    trees = [(".", spec.workdir)] if spec.workdir else []
    trees += [(mount.target, mount.tree) for mount in spec.mounts]
    return {
        "trees": [_tree(target, tree, has) for target, tree in trees],
        "python": spec.environment.python,
        "requirements": list(spec.environment.requirements),
        "setup": spec.setup,
    }


def _tree(target: str, tree: Tree, has: Callable[[str], bool]) -> dict[str, Any]:
    told = {"target": target, "source": tree.source, "size_bytes": tree.size_bytes, "files": tree.files}
    return {**told, "at_head": has(tree.digest)}


def next_starts(
    snapshot: Snapshot, now: float, rules: Rules, spent: Callable[[], bool], most: int = NEXT
) -> dict[str, Any]:
    """Who starts when if nothing new comes, the soonest first; ``waiting``: of how many others nobody can say."""
    found = scheduler.next_starts(snapshot, now, rules, most, spent)
    starts = [
        {
            "job_id": one.job_id,
            "name": snapshot.jobs[one.job_id].spec.name,
            "owner": snapshot.jobs[one.job_id].owner,
            "at": one.at,
            "nodes": list(one.allocation.nodes),
            "ends_at": one.ends_at if one.ends_at < float("inf") else None,
        }
        for one in found
    ]
    return {"now": now, "starts": starts, "waiting": len(snapshot.pending) - len(starts)}
