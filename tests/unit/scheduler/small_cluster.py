"""A cluster in a few words, for stories about the scheduler."""

from __future__ import annotations

from typing import Any

from beowulf.model.apply import apply
from beowulf.model.event import (
    AttemptEnded,
    AttemptEnding,
    AttemptLaunched,
    JobPlaced,
    JobSubmitted,
    NodeAdded,
    NodeUp,
    ShareCleared,
    ShareStarted,
)
from beowulf.model.job import JobSpec, Result
from beowulf.model.node import Endpoint, Facts, Gpu
from beowulf.model.rules import Rules
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler import Plan, Refusal, plan


class Cluster:
    """A snapshot that is built by events, as the controller builds it."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.snapshot = Snapshot()
        self.now = 1000.0
        self.rules = rules or Rules()

    def see(self, event: Any) -> None:
        self.snapshot = apply(self.snapshot, event)

    def node(self, name: str, cpus: int = 2, memory: int = 8192, gpus: tuple[Gpu, ...] = (), **how: Any) -> None:
        facts = Facts(cpus=tuple(range(cpus)), memory_mib=memory, gpus=gpus, mpi=how.pop("mpi", ""))
        self.see(NodeAdded(self.now, name, Endpoint(name), "key", **how))
        self.see(NodeUp(self.now, name, f"/home/u/.beowulf/c/{name}", facts))

    def submit(self, array: int = 0, owner: str = "u", **spec: Any) -> str:
        self.now += 1
        number = self.snapshot.next_number
        wanted = JobSpec(**{"name": "j", "script": "true", "kill_grace_s": 0.0, **spec})
        self.see(JobSubmitted(self.now, str(number), number, wanted, owner, 1, tuple(range(array))))
        return str(number)

    def tick(self) -> dict[str, tuple[str, ...]]:
        """Starts what can start; → {job: nodes}."""
        starts = self.plan().starts
        for start in starts:
            self.see(JobPlaced(self.now, start.job_id, len(self.attempts(start.job_id)) + 1, start.allocation))
        return {start.job_id: start.allocation.nodes for start in starts}

    def plan(self) -> Plan:
        return plan(self.snapshot, self.now, self.rules)

    def attempts(self, job: str) -> tuple[Any, ...]:
        return self.snapshot.jobs[job].attempts

    def run(self) -> dict[str, tuple[str, ...]]:
        """As `tick`, and what was started runs at once."""
        started = self.tick()
        for job, nodes in started.items():
            self.see(AttemptLaunched(self.now, job, len(self.attempts(job)), 0))
            for node in nodes:
                self.see(ShareStarted(self.now, job, len(self.attempts(job)), node))
        return started

    def run_of(self, job: str) -> tuple[str, ...]:
        """As `run`; → the nodes of this job."""
        return self.run()[job]

    def end(self, job: str, result: Result = Result.COMPLETED, requeue: bool = False, clear: bool = True) -> None:
        attempt = self.snapshot.jobs[job].attempt
        assert attempt is not None
        self.see(AttemptEnding(self.now, job, attempt.number, result, ""))
        for share in attempt.allocation.shares if clear else ():
            self.see(ShareCleared(self.now, job, attempt.number, share.node))
        self.see(AttemptEnded(self.now, job, attempt.number, result, "", requeue, requeue))

    def why(self, job: str) -> Refusal:
        return self.plan().waiting[job]


def lab(nodes: int = 4, cpus: int = 2, rules: Rules | None = None) -> Cluster:
    cluster = Cluster(rules)
    for number in range(1, nodes + 1):
        cluster.node(f"n{number}", cpus)
    return cluster


def gpus(number: int, kind: str = "RTX3090", memory: int = 24576) -> tuple[Gpu, ...]:
    return tuple(Gpu(index, kind, "nvidia", kind, memory) for index in range(number))
