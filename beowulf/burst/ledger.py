"""What rented machines cost, and what they may cost at the worst: caps are counted by the worst.

The worst of a machine is what it would cost if the head fell silent now: it ends itself when its lease has run out.
That is known before the provider is called, and again before each renewal, so a cap holds whatever is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from beowulf.model.cloud import Machine, MachineState
from beowulf.model.job import Job, JobId
from beowulf.model.market import UNLIMITED, Left
from beowulf.model.renting import Caps

HOUR_S = 3600.0
GB_BYTES = 1e9
TICK_S = 60.0  # what a lease may overrun: the machine's timer, a word on its way, the provider's clock
ROUNDING_USD = 1e-9


def cost_usd(machine: Machine, until: float) -> float:
    """By the second from `created_at`, the provider's minimum at least; 0 where nothing was launched."""
    return _usd(machine, machine.created_at, until, machine.hourly_usd) if machine.created_at else 0.0


def doubt_usd(machine: Machine, until: float) -> float:
    """What an attempt may have cost that named no instance though one of its calls may have acted."""
    return 0.0 if machine.created_at else _usd(machine, machine.intended_at, until, _most_hourly(machine))


def egress_usd(machine: Machine) -> float:
    """Of what was brought home from it so far."""
    return _way_home_usd(machine, machine.home_bytes)


def foretold_egress_usd(machine: Machine) -> float:
    """Of what its job was expected to bring home when it was ordered."""
    return _way_home_usd(machine, machine.home_most_bytes)


def worst_usd(machine: Machine, month: float = 0.0) -> float:
    """What it will have cost at the most, of what is billed after ``month`` (seconds since the epoch).

    The way home is counted in the month in which the machine ends.
    """
    live = machine.state is not MachineState.GONE
    if (machine.lease_until if live else machine.gone_at) < month:
        return 0.0
    foretold = foretold_egress_usd(machine) if live else 0.0
    return _worst_time_usd(machine, month) + max(egress_usd(machine), foretold)


def _worst_time_usd(machine: Machine, month: float) -> float:
    begin = machine.created_at or machine.intended_at
    if machine.state is not MachineState.GONE:
        return _since(
            month, begin, machine.lease_until, _usd(machine, begin, machine.lease_until, _most_hourly(machine))
        )
    dearer = _most_hourly(machine) / machine.hourly_usd if machine.hourly_usd > 0 else 1.0
    return _since(month, begin, machine.gone_at, machine.cost_usd * dearer + machine.doubt_usd)


def _way_home_usd(machine: Machine, size_bytes: int) -> float:
    return size_bytes / GB_BYTES * machine.offer.egress_usd_per_gb


def _most_hourly(machine: Machine) -> float:
    return machine.max_hourly_usd or machine.hourly_usd


def _usd(machine: Machine, begin: float, until: float, hourly_usd: float) -> float:
    return hourly_usd * max(until - begin, machine.offer.minimum_s) / HOUR_S


def _since(month: float, begin: float, end: float, whole_usd: float) -> float:
    """The part of ``whole_usd`` that falls after ``month``, by time."""
    if begin >= month:
        return whole_usd
    return whole_usd * (end - month) / (end - begin) if end > month else 0.0


def month_of(at: float) -> float:
    """When the calendar month of ``at`` began, UTC."""
    day = datetime.fromtimestamp(at, UTC)
    return datetime(day.year, day.month, 1, tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class Scope:
    """One cap, and whose machines count against it."""

    what: str  # as people are told: "the month", "user ada"
    cap_usd: float
    since: float  # 0: for ever
    counts: Callable[[Machine], bool]

    def committed_usd(self, machines: Iterable[Machine]) -> float:
        return sum(worst_usd(machine, self.since) for machine in machines if self.counts(machine))


def scopes_of(machine: Machine, job: Job | None, caps: Caps, now: float) -> tuple[Scope, ...]:
    """Every cap a machine counts against."""
    month = month_of(now)
    owner, project, job_id = machine.owner, machine.project, machine.job_id
    found = [Scope("the month", caps.month_usd, month, lambda one: True)]
    if owner:
        cap = caps.users.get(owner, caps.user_usd)
        found.append(Scope(f"user {owner}", cap, month, lambda one: one.owner == owner))
    if project:
        cap = caps.projects.get(project, caps.project_usd)
        found.append(Scope(f"project {project}", cap, month, lambda one: one.project == project))
    if job_id:
        own = job.spec.burst.budget_usd if job else 0.0
        cap = min(caps.job_usd, own or UNLIMITED)
        found.append(Scope(f"job {job_id}", cap, 0.0, lambda one: one.job_id == job_id))
    return tuple(found)


def over_budget(machine: Machine, others: Iterable[Machine], job: Job | None, caps: Caps, now: float) -> str:
    """Why ``machine``, as it is given here, may not cost what it may; "" when it may."""
    all_of_them = [*(one for one in others if one.id != machine.id), machine]
    for scope in scopes_of(machine, job, caps, now):
        if scope.cap_usd < UNLIMITED:
            committed = scope.committed_usd(all_of_them)
            if not committed <= scope.cap_usd + ROUNDING_USD:  # NaN is no amount either
                return f"the budget of {scope.what} is ${scope.cap_usd:.2f}, and with it ${committed:.2f} may be spent"
    return ""


def left(machines: Iterable[Machine], jobs: Iterable[Job], caps: Caps, now: float) -> Left:
    """What the planner may still spend for these jobs."""
    known = tuple(machines)
    month = month_of(now)
    waiting = tuple(jobs)
    users = {job.owner for job in waiting} | set(caps.users)
    projects = {job.spec.budget for job in waiting} | set(caps.projects)

    def rest(cap: float, counts: Callable[[Machine], bool]) -> float:
        return cap - Scope("", cap, month, counts).committed_usd(known)

    spent: dict[JobId, float] = {}
    for machine in known:
        if machine.job_id:
            spent[machine.job_id] = spent.get(machine.job_id, 0.0) + worst_usd(machine)
    return Left(
        month_usd=rest(caps.month_usd, lambda one: True),
        users=_each(users, caps.users, caps.user_usd, lambda name: lambda one: one.owner == name, rest),
        projects=_each(projects, caps.projects, caps.project_usd, lambda name: lambda one: one.project == name, rest),
        jobs=spent,
    )


def _each(
    names: Iterable[str],
    exceptions: Mapping[str, float],
    usual: float,
    whose: Callable[[str], Callable[[Machine], bool]],
    rest: Callable[[float, Callable[[Machine], bool]], float],
) -> dict[str, float]:
    return {name: rest(exceptions.get(name, usual), whose(name)) for name in names}
