"""Whose turn it is among those that money would be spent on: who can wait the least takes the first of their turns.

Jobs with a deadline that machines may be rented for stand in the queue as the policy says. Of those whose money is the
same (their project's or queue's) the places are dealt out again by the moment at which each has to start: a job with
time to spare that went first would save nothing, and cost the other one a machine. Nobody else's place changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from beowulf.scheduler.estimates import UNKNOWN
from beowulf.scheduler.lines import Line, Ticket

Place: TypeAlias = tuple[int, bool, float, float, int, int]
"""(-priority, not resuming, -rank, submitted, number, index): the smallest is first."""


def exchanged(
    lines: Iterable[Line], place: Callable[[Line, int], Place], length_s: Callable[[Line], float]
) -> dict[Ticket, Place]:
    """The new places of those that may exchange them; ``place``: by the policy alone."""
    groups: dict[tuple[int, bool, str], list[tuple[float, Place, Ticket]]] = {}
    for line in lines:
        if not _counts(line) or length_s(line) == UNKNOWN:
            continue
        group = groups.setdefault((line.spec.priority, line.resuming, line.spec.budget), [])
        spare_s = line.spec.burst.deadline_s - length_s(line)
        group.extend((ticket[0] + spare_s, place(line, at), ticket) for at, ticket in enumerate(line.tickets))
    return {
        ticket: first
        for group in groups.values()
        for first, (_, _, ticket) in zip(sorted(own for _, own, _ in group), sorted(group), strict=True)
    }


def _counts(line: Line) -> bool:
    return line.spec.burst.policy != "never" and line.spec.burst.deadline_s > 0.0 and not line.cancelled
