"""What would start a job now: it is handed in anew with one thing changed, or two, and the plan says whether it starts.

A wish is an entry: what may be given up, from the mildest step to the harshest. Each suggestion was really planned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TypeAlias

from beowulf.model import event as ev
from beowulf.model.apply import apply
from beowulf.model.job import Job, JobId, JobSpec, Result
from beowulf.model.rules import Rules
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler.limits import Spent
from beowulf.scheduler.planning import plan
from beowulf.scheduler.wording import count, size

Step: TypeAlias = tuple[str, JobSpec]
"""("with 3 nodes instead of 4", the spec that says so)"""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Cancel the job and submit ``spec`` in its place: it starts with the next plan."""

    words: str
    spec: JobSpec


def suggestions(snapshot: Snapshot, now: float, job: Job, rules: Rules, spent: Spent) -> tuple[Suggestion, ...]:
    """The mildest step of each wish that starts the job now; pairs of wishes only where no single one does."""
    trial = Trial(snapshot, now, job, rules, spent)
    found = [step for wish in WISHES.values() if (step := trial.mildest(wish(job.spec))) is not None]
    if not found:
        found = trial.pairs()
    return tuple(Suggestion(words, spec) for words, spec in found)


@dataclass(frozen=True, slots=True)
class Trial:
    snapshot: Snapshot
    now: float
    job: Job
    rules: Rules
    spent: Spent

    def starts(self, spec: JobSpec) -> bool:
        changed, job_id = handed_in_anew(self.snapshot, self.job, spec, self.now)
        return any(start.job_id == job_id for start in plan(changed, self.now, self.rules).starts)

    def mildest(self, steps: Sequence[Step]) -> Step | None:
        """By halving: a harsher step asks for less, so it starts where a milder one does, or nearly always."""
        low, high, best = 0, len(steps) - 1, None
        while low <= high and not self.spent():
            middle = (low + high) // 2 if best is not None else high
            if self.starts(steps[middle][1]):
                best, high = steps[middle], middle - 1
            elif best is None:
                return None
            else:
                low = middle + 1
        return best

    def pairs(self) -> list[Step]:
        for one, other in combinations(WISHES.values(), 2):
            first = one(self.job.spec)
            if self.spent() or not first:
                continue
            second = other(first[-1][1])
            last = self.mildest(second)
            if last is not None:
                return [(f"{first[-1][0]} and {last[0]}", last[1])]
        return []


def handed_in_anew(snapshot: Snapshot, job: Job, spec: JobSpec, now: float) -> tuple[Snapshot, JobId]:
    """As its owner would do it: cancel the job and submit the changed one, at the end of the queue."""
    number = snapshot.next_number
    gone = apply(snapshot, ev.JobEnded(now, job.id, Result.CANCELLED, ""))
    return apply(gone, ev.JobSubmitted(now, str(number), number, spec, job.owner, job.uid)), str(number)


def _fewer_nodes(spec: JobSpec) -> list[Step]:
    least = spec.min_nodes
    return [
        (f"with {count(nodes, 'node')} instead of {least}", replace(spec, min_nodes=nodes, max_nodes=nodes))
        for nodes in range(least - 1, 0, -1)
    ]


def _any_accelerator(spec: JobSpec) -> list[Step]:
    wanted = spec.resources
    if not wanted.gpu_kinds:
        return []
    kinds = " or ".join(wanted.gpu_kinds)
    return [(f"without insisting on {kinds}", replace(spec, resources=replace(wanted, gpu_kinds=())))]


def _fewer_gpus(spec: JobSpec) -> list[Step]:
    wanted = spec.resources
    return [
        (f"with {count(gpus, 'GPU')} per node instead of {wanted.gpus}", _with_gpus(spec, gpus))
        for gpus in range(wanted.gpus - 1, 0, -1)
    ]


def _with_gpus(spec: JobSpec, gpus: int) -> JobSpec:
    return replace(spec, resources=replace(spec.resources, gpus=gpus))


def _less_memory(spec: JobSpec) -> list[Step]:
    asked = spec.resources.memory_mib
    steps = [asked * part // 8 for part in (7, 6, 5, 4, 3, 2, 1)] if asked >= 8 else []
    return [(f"with {size(mib)} memory per node instead of {size(asked)}", _with_memory(spec, mib)) for mib in steps]


def _with_memory(spec: JobSpec, mib: int) -> JobSpec:
    return replace(spec, resources=replace(spec.resources, memory_mib=mib))


def _fewer_threads(spec: JobSpec) -> list[Step]:
    wanted = spec.resources
    least = max(1, spec.procs_per_node)
    if wanted.all_cpus:
        few = replace(wanted, all_cpus=False, cpus=least)
        return [(f"with {count(least, 'thread')} instead of the whole node", replace(spec, resources=few))]
    return [
        (f"with {count(cpus, 'thread')} per node instead of {wanted.cpus}", _with_threads(spec, cpus))
        for cpus in range(wanted.cpus - 1, least - 1, -1)
    ]


def _with_threads(spec: JobSpec, cpus: int) -> JobSpec:
    return replace(spec, resources=replace(spec.resources, cpus=cpus))


LIMITS_S = (86400.0, 43200.0, 14400.0, 7200.0, 3600.0, 1800.0, 900.0, 300.0, 60.0)


def _a_limit(spec: JobSpec) -> list[Step]:
    asked = spec.max_duration_s
    shorter = [limit for limit in LIMITS_S if not asked or limit < asked]
    return [(f"with a max_duration of {_spoken(limit)}", replace(spec, max_duration_s=limit)) for limit in shorter]


def _spoken(seconds: float) -> str:
    return f"{seconds / 3600:g}h" if seconds >= 3600 else f"{seconds / 60:g}m"


def _anywhere(spec: JobSpec) -> list[Step]:
    if not (spec.nodelist or spec.exclude or spec.group or spec.site):
        return []
    return [("on whatever node fits", replace(spec, nodelist=(), exclude=(), group="", site=""))]


WISHES: dict[str, Callable[[JobSpec], list[Step]]] = {
    "nodes": _fewer_nodes,
    "accelerator": _any_accelerator,
    "gpus": _fewer_gpus,
    "memory": _less_memory,
    "threads": _fewer_threads,
    "limit": _a_limit,
    "place": _anywhere,
}
