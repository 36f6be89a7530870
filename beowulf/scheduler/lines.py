"""The queue as lines: jobs that differ in nothing but when they came stand in one line, and only its first can matter.

A hundred thousand jobs stand in a few hundred lines; what a line's first job cannot have, none behind it can.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import TypeAlias

from immutables import Map

from beowulf.model.job import Job, JobId, JobSpec, JobState
from beowulf.model.node import NodeId
from beowulf.scheduler.request import Request, request_of, shunned, unswept
from beowulf.scheduler.throughput import concerned, family_of, steps_left
from beowulf.scheduler.usage import Account

Ticket: TypeAlias = tuple[float, int, int, JobId]
"""(submitted, number, array index, id): the order within a line."""

Key: TypeAlias = tuple[Hashable, ...]


@dataclass(frozen=True, slots=True)
class Line:
    key: Key
    request: Request
    spec: JobSpec  # of one of its jobs: all agree in what the scheduler looks at
    owner: str
    cancelled: bool
    resuming: bool  # before everything else of its priority
    tickets: tuple[Ticket, ...]
    left: int = 0  # optimizer steps; 0: not told
    shunned: tuple[NodeId, ...] = ()

    @property
    def account(self) -> Account:
        return self.spec.project, self.owner

    def having(self, tickets: tuple[Ticket, ...]) -> Line:
        known = (self.key, self.request, self.spec, self.owner, self.cancelled, self.resuming)
        return Line(*known, tickets, self.left, self.shunned)

    @property
    def plain(self) -> bool:
        """Only room keeps its jobs from starting, or a quota."""
        return not (self.cancelled or self.spec.dependencies)


Lines: TypeAlias = Map[Key, Line]


def key_of(job: Job) -> Key:
    spec = job.spec
    # What has no limit is judged by earlier runs of its kind.
    likeness = None if spec.max_duration_s else (spec.name, spec.launcher)
    work = (family_of(spec, job.owner), left_of(job), spec.mix_devices) if concerned(spec) else None
    plain = (_looked_at(spec), job.owner, likeness, work, job.resuming, job.most_nodes, bool(job.cancelled_by))
    return (*plain, unswept(job), shunned(job)) if job.attempts else plain


_looked_at: Callable[[JobSpec], Hashable] = attrgetter(
    "resources",
    "procs_per_node",
    "min_nodes",
    "max_nodes",
    "nodelist",
    "exclude",
    "group",
    "site",
    "burst",
    "environment.system_mpi",
    "service_class",
    "queue",
    "project",
    "priority",
    "max_duration_s",
    "kill_grace_s",
    "dependencies",
)
"""All that a plan looks at in a spec, whatever the job."""


def left_of(job: Job) -> int:
    return steps_left(job.spec, job.checkpoint.step if job.checkpoint else 0)


def ticket_of(job: Job) -> Ticket:
    return job.submitted_at, job.number, job.array_index or 0, job.id


def line_of(key: Key, job: Job, tickets: tuple[Ticket, ...], known: dict[Request, Request]) -> Line:
    """``known``: equal requests of different lines are one value, so that answers to one are found by the other."""
    request = request_of(job.spec, job.owner, unswept(job) if job.attempts else (), job.most_nodes)
    request = known.setdefault(request, request)
    cancelled, shuns = bool(job.cancelled_by), shunned(job)
    return Line(key, request, job.spec, job.owner, cancelled, job.resuming, tickets, left_of(job), shuns)


def lines_of(jobs: Iterable[Job], requests: dict[Request, Request]) -> Lines:
    tasks: dict[tuple[int, str], Key] = {}  # those of an array share their spec
    found: dict[Key, tuple[Job, list[Ticket]]] = {}
    for job in jobs:
        if job.array_index is None or job.attempts or job.cancelled_by:
            key = key_of(job)
        else:
            array = (id(job.spec), job.owner)
            key = tasks.get(array) or tasks.setdefault(array, key_of(job))
        line = found.get(key)
        if line is None:
            line = found[key] = (job, [])
        line[1].append(ticket_of(job))
    return Map({key: line_of(key, job, tuple(sorted(tickets)), requests) for key, (job, tickets) in found.items()})


def requeued(lines: Lines, old: Job | None, new: Job | None, requests: dict[Request, Request]) -> Lines:
    """One job's place in the queue, as it was and as it is now."""
    if old is not None and old.state is JobState.PENDING:
        lines = leave(lines, old)
    return join(lines, new, requests) if new is not None and new.state is JobState.PENDING else lines


def leave(lines: Lines, job: Job) -> Lines:
    key = key_of(job)
    line = lines[key]
    at = bisect_left(line.tickets, ticket_of(job))
    left = line.tickets[:at] + line.tickets[at + 1 :]
    return lines.set(key, line.having(left)) if left else lines.delete(key)


def join(lines: Lines, job: Job, requests: dict[Request, Request]) -> Lines:
    key = key_of(job)
    line = lines.get(key)
    if line is None:
        return lines.set(key, line_of(key, job, (ticket_of(job),), requests))
    ticket = ticket_of(job)
    at = bisect_left(line.tickets, ticket)
    return lines.set(key, line.having((*line.tickets[:at], ticket, *line.tickets[at:])))
