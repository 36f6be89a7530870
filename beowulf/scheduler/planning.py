"""``plan(snapshot, now)``: what to start now, and why the rest waits."""

from __future__ import annotations

from beowulf.model.job import Job, JobId
from beowulf.model.node import NodeId
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler.answers import (
    CANCELLED,
    DEPENDENCY_NEVER_SATISFIED,
    PRIORITY,
    Placement,
    Plan,
    Reason,
    Refusal,
    Start,
)
from beowulf.scheduler.board import Board
from beowulf.scheduler.dependencies import Dependencies
from beowulf.scheduler.gang import gather
from beowulf.scheduler.request import Request, request_of, unswept

_CANCELLED = Refusal(CANCELLED, "is being cancelled")


def plan(snapshot: Snapshot, now: float) -> Plan:
    """What to start now, and why the rest waits. Deterministic: ties break by (priority, submitted, number, index)."""
    if not snapshot.pending:
        return Plan()
    return Planning(snapshot, now).over(snapshot.queue())


class Planning:
    """One walk down the queue. Jobs of equal requests share one answer."""

    def __init__(self, snapshot: Snapshot, now: float) -> None:
        self.board = Board(snapshot, now)
        self._dependencies = Dependencies(snapshot)
        self._requests: dict[int, Request] = {}  # by the identity of the spec: tasks of an array share theirs
        self._stuck: dict[Request, Reason] = {}  # what the next job of an equal request is told
        self._kept: dict[NodeId, JobId] = {}  # nodes that somebody ahead waits for
        self._never: set[Request] = set()

    def over(self, queue: list[Job]) -> Plan:
        starts: list[Start] = []
        waiting: dict[JobId, Reason] = {}
        dead: list[tuple[JobId, str]] = []
        impossible: list[JobId] = []
        for job in queue:
            request = self.request(job)
            answer = self._dependency(job) or self._stuck.get(request) or self._try(job, request)
            if isinstance(answer, Placement):
                starts.append(Start(job.id, answer.allocation))
                self.board.take(f"{job.id}.{len(job.attempts) + 1}", answer.allocation)
            elif answer.code == DEPENDENCY_NEVER_SATISFIED:
                dead.append((job.id, answer.sentence))
            else:
                waiting[job.id] = answer
                if request in self._never and answer is self._stuck.get(request):
                    impossible.append(job.id)
        return Plan(tuple(starts), waiting, tuple(dead), tuple(impossible))

    def request(self, job: Job) -> Request:
        if job.attempts:
            return request_of(job.spec, unswept(job), job.most_nodes)
        known = self._requests.get(id(job.spec))
        if known is None:
            known = self._requests[id(job.spec)] = request_of(job.spec)
        return known

    def _dependency(self, job: Job) -> Refusal | None:
        if job.cancelled_by:
            return _CANCELLED
        return self._dependencies.missing(job.spec.dependencies) if job.spec.dependencies else None

    def _try(self, job: Job, request: Request) -> Placement | Refusal:
        prospects = self.board.prospects(request)
        if prospects.never is not None:
            self._never.add(request)
            self._stuck[request] = prospects.never
            return prospects.never
        answers = self.board.answers(request)
        free = {node: answer for node, answer in answers.items() if node not in self._kept}
        found = gather(request, free, self.board.apart) if len(free) >= request.min_nodes else None
        if isinstance(found, Placement):
            return found
        reason = self._behind(prospects.nodes) or found or gather(request, answers, self.board.apart)
        assert isinstance(reason, Refusal)
        for node in prospects.nodes:
            self._kept.setdefault(node, job.id)
        self._stuck[request] = Refusal(PRIORITY, f"behind job {job.id}, which waits for the same nodes")
        return reason

    def _behind(self, nodes: tuple[NodeId, ...]) -> Refusal | None:
        ahead = next((self._kept[node] for node in nodes if node in self._kept), None)
        return Refusal(PRIORITY, f"behind job {ahead}, which waits for the same nodes") if ahead else None
