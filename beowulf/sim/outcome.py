"""How a replay went."""

from __future__ import annotations

from dataclasses import dataclass

from beowulf.model.cloud import Machine, Offer
from beowulf.sim.trace import TraceJob


@dataclass(frozen=True, slots=True)
class Failures:
    """Each node fails at this rate while it is up, and comes back after ``repair_s``. Its jobs are queued again."""

    per_node_hour: float = 0.0
    repair_s: float = 3600.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Moving:
    """Of jobs that go to faster devices while they run: not before ``every_s``, and what is lost each time (its
    checkpoint, and the start on the other nodes)."""

    every_s: float = 300.0
    cost_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Move:
    """``gain_s``: by how much sooner the job is done than if it had stayed, what the move costs included."""

    job_number: int  # its place in the trace, from 1 on
    at: float
    step: int  # as of the checkpoint it goes on from
    device: str  # "" where it is of several kinds
    there: str
    gain_s: float


@dataclass(frozen=True, slots=True)
class Ran:
    """One job as it went. ``promised_at``: when the plan at its submit said it would start at the latest; inf: not.

    ``started_at``: of the first attempt of which it kept what it did; ``tries``: one more than those that lost it.
    """

    job: TraceJob
    started_at: float
    ended_at: float
    threads: int
    promised_at: float
    tries: int = 1
    offer: Offer | None = None  # of the rented machines it ended on; None: on the cluster's own


@dataclass(frozen=True, slots=True)
class Outcome:
    ran: tuple[Ran, ...]
    never: tuple[TraceJob, ...]  # what no node of the cluster can run, or what waited for ever
    threads: int  # of the whole cluster
    plans: int
    delayed: int  # reservations that a lower start delayed; counted in an audit only
    busy: tuple[tuple[float, int, int], ...]  # (time, threads in use, jobs that wait) after each plan
    failures: int = 0
    machines: tuple[Machine, ...] = ()  # that were rented
    moves: tuple[Move, ...] = ()
