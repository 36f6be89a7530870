"""The spend ledger: what rented machines cost in a stretch of time, by user, project, job or cloud."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from beowulf.burst.ledger import cost_usd, egress_usd, foretold_egress_usd, month_of
from beowulf.model.cloud import Machine

BY: Mapping[str, Callable[[Machine], str]] = {
    "user": lambda machine: machine.owner,
    "project": lambda machine: machine.project,
    "job": lambda machine: machine.job_id,
    "cloud": lambda machine: machine.offer.provider,
    "machine": lambda machine: machine.id,
}


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    machines: int
    seconds: float
    cost_usd: float  # with the way home
    doubt_usd: float  # what attempts may have cost whose reply was lost; not in ``cost_usd``
    egress_usd: float = 0.0  # the way home alone, as it was counted
    foretold_usd: float = 0.0  # what that was expected to be when the machines were ordered


def month_named(text: str) -> tuple[float, float]:
    """``"2026-11"`` → when it begins and ends, UTC. Raises `ValueError`."""
    begin = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC).timestamp()
    return begin, month_of(begin + 32 * 86400.0)


def report(machines: Iterable[Machine], begin: float, end: float, now: float, by: str) -> list[Line]:
    """One line per name, the dearest first; to the second, by the time that falls between ``begin`` and ``end``.

    The way home is counted where the machine ended, or now.
    """
    lines: dict[str, Line] = {}
    for machine in machines:
        started = machine.created_at or machine.intended_at
        until = machine.gone_at or now
        seconds = max(0.0, min(until, end) - max(started, begin))
        if not seconds and not begin <= started < end:
            continue
        share = seconds / (until - started) if until > started else 1.0
        whole = machine.cost_usd if machine.gone_at else cost_usd(machine, now)
        name = BY[by](machine)
        known = lines.get(name, Line(name, 0, 0.0, 0.0, 0.0))
        ends_here = begin <= until < end
        sent_usd = egress_usd(machine) if ends_here else 0.0
        lines[name] = Line(
            name,
            known.machines + 1,
            known.seconds + (seconds if machine.created_at else 0.0),
            known.cost_usd + whole * share + sent_usd,
            known.doubt_usd + machine.doubt_usd * share,
            known.egress_usd + sent_usd,
            known.foretold_usd + (foretold_egress_usd(machine) if ends_here else 0.0),
        )
    return sorted(lines.values(), key=lambda line: (-line.cost_usd, line.name))
