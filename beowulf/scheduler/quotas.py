"""How much users, queues and projects may have in use at once. Part of a GPU counts as that part."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TypeAlias

from beowulf.model.allocation import Allocation, Share
from beowulf.model.job import JobSpec, Resources
from beowulf.model.node import Node
from beowulf.model.rules import EVERYBODY, Quota
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler.answers import QUOTA, Refusal
from beowulf.scheduler.request import Request
from beowulf.scheduler.wording import count

JOBS, CPUS, GPUS = "jobs", "cpus", "gpus"
Scope: TypeAlias = tuple[int, str, str, str]
"""(the quota's number, user, queue, project): what is counted together; "" where a quota does not tell them apart"""

ROUNDING = 1e-6  # three thirds of a GPU are one


@dataclass(frozen=True, slots=True)
class Asked:
    """What one more job takes of a quota, at least."""

    jobs: int
    cpus: int
    gpus: float


@dataclass(frozen=True, slots=True)
class Allowed:
    """``less``: why the request was narrowed, where it was."""

    request: Request
    less: Refusal | None = None


class Quotas:
    """Counts for one plan; starts of the plan are added with `take`."""

    def __init__(self, snapshot: Snapshot, quotas: tuple[Quota, ...]) -> None:
        self._quotas = quotas
        self._snapshot = snapshot
        self._used: defaultdict[tuple[int, str, str, str, str], float] = defaultdict(float)
        for job_id in snapshot.active if quotas else ():
            job = snapshot.jobs[job_id]
            if job.attempt is not None:
                self.take(job.owner, job.spec, job.attempt.allocation)

    def take(self, owner: str, spec: JobSpec, allocation: Allocation, sign: int = 1) -> None:
        for number, quota in self._concerning(owner, spec):
            scope = _scope(number, quota, owner, spec)
            self._used[*scope, JOBS] += sign
            self._used[*scope, CPUS] += sign * sum(len(share.cpus) for share in allocation.shares)
            self._used[*scope, GPUS] += sign * sum(
                _counted(quota, self._snapshot.nodes.get(share.node), share) for share in allocation.shares
            )

    def narrowed(self, request: Request, spec: JobSpec, owner: str) -> Allowed | Refusal:
        """The request as far as the quotas allow it: without GPUs of a kind that is used up."""
        if not self._quotas:
            return Allowed(request)
        wanted = spec.resources
        gpus = self._fraction(wanted) if wanted.shares_gpu else wanted.gpus
        asked = Asked(1, request.cpus * request.min_nodes, gpus * request.min_nodes)
        forbidden: dict[str, Refusal] = {}
        for number, quota in self._concerning(owner, spec):
            refusal = self._over(number, quota, asked, _scope(number, quota, owner, spec))
            if refusal is None:
                continue
            if not quota.gpu_kind or not wanted.gpus:
                return refusal
            forbidden[quota.gpu_kind.lower()] = refusal
        if not forbidden:
            return Allowed(request)
        left = tuple(kind for kind in wanted.gpu_kinds or self._kinds() if kind.lower() not in forbidden)
        first = next(iter(forbidden.values()))
        return Allowed(replace(request, resources=replace(wanted, gpu_kinds=left)), first) if left else first

    def _fraction(self, wanted: Resources) -> float:
        """Of the smallest GPU that would do: what the job may take at most."""
        cards = (gpu.memory_mib for node in self._snapshot.nodes.values() for gpu in node.facts.gpus)
        smallest = min((mib for mib in cards if mib >= wanted.gpu_part_mib), default=0)
        return wanted.gpu_fraction or (wanted.gpu_part_mib / smallest if smallest else 1.0)

    def _kinds(self) -> tuple[str, ...]:
        return tuple(sorted({gpu.kind for node in self._snapshot.nodes.values() for gpu in node.facts.gpus}))

    def _concerning(self, owner: str, spec: JobSpec) -> list[tuple[int, Quota]]:
        return [
            (number, quota)
            for number, quota in enumerate(self._quotas)
            if quota.user in ("", EVERYBODY, owner)
            and quota.queue in ("", EVERYBODY, spec.queue)
            and (not quota.project or (spec.project and quota.project in (EVERYBODY, spec.project)))
        ]

    def _over(self, number: int, quota: Quota, asked: Asked, scope: Scope) -> Refusal | None:
        gpu = f"{quota.gpu_kind} GPU" if quota.gpu_kind else "GPU"
        limits = ((JOBS, quota.jobs, asked.jobs, "job"), (CPUS, quota.cpus, asked.cpus, "thread"))
        for kind, most, more, noun in (*limits, (GPUS, quota.gpus, asked.gpus, gpu)):
            used = self._used[*scope, kind]
            if most >= 0 and more and used + more > most + ROUNDING:
                return Refusal(QUOTA, f"{_whose(scope)} may use {count(most, noun)} at once, and {used:g} are in use")
        return None


def _scope(number: int, quota: Quota, owner: str, spec: JobSpec) -> Scope:
    return (
        number,
        owner if quota.user else "",
        spec.queue if quota.queue else "",
        spec.project if quota.project else "",
    )


def _whose(scope: Scope) -> str:
    _, user, queue, project = scope
    named = (user, f"queue {queue}" if queue else "", f"project {project}" if project else "")
    return " and ".join(filter(None, named)) or "everybody"


def _counted(quota: Quota, node: Node | None, share: Share) -> float:
    if not quota.gpu_kind:
        return share.gpu_count
    kinds = {gpu.index: gpu.kind.lower() for gpu in node.facts.gpus} if node else {}
    return sum(kinds.get(index) == quota.gpu_kind.lower() for index in set(share.gpus)) * share.gpu_fraction
