"""Values → what JSON answers hold."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from beowulf.controller.commands import Caller
from beowulf.model.codec import plain
from beowulf.model.job import Job, Result, split_tag
from beowulf.model.node import Node
from beowulf.model.snapshot import Snapshot
from beowulf.probe import Course, GpuLoad, Load, Use
from beowulf.store import StoredEvent, StoredReport

HIDDEN = "(hidden)"


def job_summary(job: Job, reason: str) -> dict[str, Any]:
    """A row of ``ps``: nothing that grows with the job's script."""
    return {
        "id": job.id,
        "number": job.number,
        "array_index": job.array_index,
        "name": job.spec.name,
        "owner": job.owner,
        "state": job.state.value,
        "result": job.result.value if job.result else None,
        "word": job.word,
        "reason": reason,
        "launcher": job.spec.launcher.value,
        "exit": _exit(job),
        "submitted_at": job.submitted_at,
        "promised_at": job.promised_at,
        "first_started_at": first_started(job),
        "ended_at": job.ended_at,
        **{name: getattr(job.spec, name) for name in ASKED},
        **_newest(job),
        **_used(job),
    }


ASKED = ("queue", "project", "priority", "min_nodes", "max_duration_s")


def _newest(job: Job) -> dict[str, Any]:
    """Of the attempt that counts: where it is, and since when."""
    attempt = job.attempt
    return {
        "attempts": len(job.attempts),
        "nodes": attempt.allocation.nodes if attempt else (),
        "ranks": attempt.allocation.world_size if attempt else 0,
        "threads": sum(share.threads for share in attempt.allocation.shares) if attempt else 0,
        "placed_at": attempt.placed_at if attempt else 0.0,
        "started_at": attempt.started_at if attempt else 0.0,
    }


def _exit(job: Job) -> tuple[int, int]:
    """Code and signal of the process that failed first; 0, 0 where none did."""
    exits = job.attempt.exits if job.attempt and job.result is Result.FAILED else ()
    failed = [one for one in exits if one.code or one.signal]
    first = min(failed, key=lambda one: one.at, default=None)
    return (0 if first.signal else first.code, first.signal) if first else (0, 0)


def _used(job: Job) -> dict[str, float]:
    """Thread- and GPU-seconds of attempts that have ended; lost are those that did not complete the job."""
    thread_s = gpu_s = lost_s = 0.0
    for attempt in job.attempts:
        ran_s = max(attempt.ended_at - attempt.placed_at, 0.0) if attempt.ended_at else 0.0
        threads = sum(share.threads for share in attempt.allocation.shares)
        thread_s += ran_s * threads
        gpu_s += ran_s * sum(len(share.gpus) for share in attempt.allocation.shares)
        good = attempt is job.attempt and job.result is Result.COMPLETED
        lost_s += 0.0 if good or attempt.ending is Result.RESIZED else ran_s * threads
    return {"thread_s": thread_s, "gpu_s": gpu_s, "lost_thread_s": lost_s}


def first_started(job: Job) -> float:
    first = job.attempts[0] if job.attempts else None
    return (first.started_at or first.placed_at) if first else 0.0


def job_whole(job: Job, reason: str, caller: Caller) -> dict[str, Any]:
    """Everything; the values of environment variables, which may be secrets, for the owner and admins only."""
    value: dict[str, Any] = {**plain(job), "word": job.word, "reason": reason}
    if not may_see(caller, job.uid):
        value["spec"] = _without_secrets(value["spec"])
    return value


def node(value: Node, snapshot: Snapshot) -> dict[str, Any]:
    return {**plain(value), **used_of(value, snapshot)}


def used_of(value: Node, snapshot: Snapshot) -> dict[str, int]:
    shares = list(snapshot.held[value.id].values()) if value.id in snapshot.held else []
    return {
        "used_cpus": len({cpu for share in shares for cpu in share.cpus}),
        "used_gpus": len({gpu for share in shares for gpu in share.gpus}),
        "used_memory_mib": sum(share.memory_mib for share in shares),
    }


def node_summary(value: Node, snapshot: Snapshot) -> dict[str, Any]:
    """What a list of nodes shows: nothing that only its own page tells."""
    facts = value.facts
    told = {
        "cpus": facts.cpus,
        "memory_mib": facts.memory_mib,
        "os": facts.os,
        "agent_python": facts.agent_python,
        "slowed": facts.slowed,
        "foreign": facts.foreign,
        "gpus": [plain(gpu) for gpu in facts.gpus],
    }
    named = {name: getattr(value, name) for name in SUMMED_UP}
    return {**named, **used_of(value, snapshot), "gpu_jobs": _gpu_jobs(value, snapshot), "facts": told}


def _gpu_jobs(value: Node, snapshot: Snapshot) -> dict[str, str]:
    """Who has each GPU that is held: ``{"0": "17"}``."""
    held = snapshot.held.get(value.id)
    jobs: dict[str, str] = {}
    for tag, share in held.items() if held else ():
        for gpu in share.gpus:
            both = (jobs.get(str(gpu), ""), split_tag(tag)[0])
            jobs[str(gpu)] = " ".join(filter(None, both))
    return jobs


SUMMED_UP = (
    "id",
    "site",
    "groups",
    "state",
    "reason",
    "drained",
    "draining_reason",
    "same_as",
    "max_cpus",
    "max_memory_mib",
    "changed_at",
)


def load(value: Load) -> dict[str, Any]:
    gpus = [{name: getattr(gpu, name) for name in GPU_LOADED} for gpu in value.gpus]
    return {**{name: getattr(value, name) for name in LOADED}, "gpus": gpus}


def past_load(value: Load) -> dict[str, Any]:
    """What a line of the last two minutes is drawn from."""
    return {"at": value.at, "cpu": value.cpu}


def course(value: Course) -> dict[str, Any]:
    """``{begin, width_s, cpu, memory_mib, gpu, gpu_memory_mib}``, the last four a figure per step; -1: not told."""
    figures = {name: [round(getattr(use, name), 3) for use in value.uses] for name in FIGURES}
    return {"begin": value.begin, "width_s": value.width_s, **figures}


FIGURES = tuple(one.name for one in fields(Use) if one.name != "samples")
LOADED = tuple(one.name for one in fields(Load) if one.name != "gpus")
GPU_LOADED = tuple(one.name for one in fields(GpuLoad))


def event(stored: StoredEvent, caller: Caller) -> dict[str, Any]:
    body = json.loads(stored.body)
    if stored.kind == "JobSubmitted" and not may_see(caller, body["uid"]):
        body["spec"] = _without_secrets(body["spec"])
    return {
        "seq": stored.seq,
        "at": stored.at,
        "kind": stored.kind,
        "job_id": stored.job_id,
        "node_id": stored.node_id,
        "body": body,
    }


def report(stored: StoredReport) -> dict[str, Any]:
    return {
        "cursor": stored.cursor,
        "job_id": stored.job_id,
        "attempt": stored.attempt,
        "rank": stored.rank,
        "seq": stored.seq,
        "at": stored.at,
        "body": stored.body,
    }


def may_see(caller: Caller, uid: int) -> bool:
    return caller.admin or caller.uid == uid


def _without_secrets(spec: dict[str, Any]) -> dict[str, Any]:
    return {**spec, "envs": dict.fromkeys(spec["envs"], HIDDEN)}
