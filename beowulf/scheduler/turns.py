"""Whose turn it is among those that money would be spent on: whose money is due first goes first.

Jobs with a deadline that machines may be rented for stand in the queue as the policy says. Where some of them stand one
behind the other and their money is the same (their project's or queue's), they change places by the moment at which
waiting any longer would cost something: one with time to spare that went first would save nothing, and cost another
one a machine. Everybody else has the same jobs before and behind as ever, and so has who is due: no later job passes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TypeAlias

from beowulf.model.job import JobSpec
from beowulf.model.market import MarketRules
from beowulf.scheduler.bargain import in_hand_s
from beowulf.scheduler.errand import inputs_mb, results_mb
from beowulf.scheduler.estimates import UNKNOWN
from beowulf.scheduler.lines import Line, Ticket

Place: TypeAlias = tuple[int, bool, float, float, int, int]
"""(-priority, not resuming, -rank, submitted, number, index): the smallest is first."""
PlaceOf: TypeAlias = Callable[[Line, int], Place]
Waiting: TypeAlias = tuple[Place, float, Ticket]
"""(place by the policy alone, when money is due, who)"""


def may_wait_s(spec: JobSpec, length_s: float, market: MarketRules) -> float:
    """So long after its submit, or a little longer, a machine rented for the job still keeps its deadline."""
    up_mb_per_s = min((line.up_mb_per_s for line in market.lines.values()), default=1.0)
    down_mb_per_s = min((line.down_mb_per_s for line in market.lines.values()), default=1.0)
    carried_s = inputs_mb(spec, market) / up_mb_per_s + results_mb(spec, market) / down_mb_per_s
    away_s = max(market.boot_s.values(), default=0.0) + carried_s + length_s
    unsure_s = away_s - length_s if spec.max_duration_s else away_s
    return max(0.0, spec.burst.deadline_s - away_s - in_hand_s(unsure_s) - market.tick_s)


def exchanged(
    lines: Sequence[Line], place: PlaceOf, length_s: Callable[[Line], float], market: MarketRules
) -> dict[Ticket, Place]:
    """The places of those that change theirs."""
    purses: dict[str, list[Line]] = {}
    for line in lines:
        if _counts(line) and length_s(line) < UNKNOWN:
            purses.setdefault(line.spec.budget, []).append(line)
    found: dict[Ticket, Place] = {}
    for mine in purses.values():
        waiting = [
            (place(line, at), ticket[0] + wait_s, ticket)
            for line in mine
            for wait_s in [may_wait_s(line.spec, length_s(line), market)]
            for at, ticket in enumerate(line.tickets)
        ]
        known = {id(line) for line in mine}
        for run in _runs(sorted(waiting), [line for line in lines if id(line) not in known], place):
            dealt = sorted(run, key=lambda one: (one[1], one[0]))
            found.update((ticket, own) for (own, _, _), (_, _, ticket) in zip(run, dealt, strict=True))
    return found


def _runs(waiting: Sequence[Waiting], others: Sequence[Line], place: PlaceOf) -> list[list[Waiting]]:
    """Those that nobody else stands between, in order. A line of others counts from its first job to its last."""
    spans = sorted((place(line, 0), place(line, len(line.tickets) - 1)) for line in others)
    begins = [begin for begin, _ in spans]
    furthest: list[Place] = []
    for _, end in spans:
        furthest.append(max(end, furthest[-1]) if furthest else end)
    runs: list[list[Waiting]] = []
    before: tuple[int, bool, int, bool] | None = None
    for one in waiting:
        own = one[0]
        passed = bisect_right(begins, own)
        inside = passed > 0 and furthest[passed - 1] > own
        section = (own[0], own[1], passed, inside)
        if section == before and not inside:
            runs[-1].append(one)
        else:
            runs.append([one])
        before = section
    return runs


def _counts(line: Line) -> bool:
    return line.spec.burst.policy != "never" and line.spec.burst.deadline_s > 0.0 and not line.cancelled
