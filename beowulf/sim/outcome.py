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
class Ran:
    """One job as it went. ``promised_at``: when the plan at its submit said it would start at the latest; inf: not."""

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
