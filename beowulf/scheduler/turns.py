"""Whose turn it is among those that money would be spent on: whose money is due first goes first, where that helps.

Jobs with a deadline that machines may be rented for stand in the queue as the policy says. Where some of them stand one
behind the other and their money is the same (their project's or queue's), they change places by the moment at which
waiting any longer would cost something: one with time to spare that went first would save nothing, and cost another
one a machine. Where the lab cannot do all of them in time, machines are rented for some in any case: then those go
last that save the least money for the room they take. Everybody else has the same jobs before and behind as ever.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TypeAlias

from beowulf.model.cloud import Offer
from beowulf.model.job import JobSpec
from beowulf.model.market import OWN, MarketRules
from beowulf.model.rules import Rules
from beowulf.scheduler.bargain import LEAST_GAIN_S, in_hand_s
from beowulf.scheduler.errand import MOST_HOURLY_USD, inputs_mb, results_mb
from beowulf.scheduler.estimates import UNKNOWN
from beowulf.scheduler.imagined import fits
from beowulf.scheduler.lines import Line, Ticket
from beowulf.scheduler.policies import KEEP_ALL, Policy

Place: TypeAlias = tuple[int, bool, float, float, int, int]
"""(-priority, not resuming, -rank, submitted, number, index): the smallest is first."""
LOOKED_AT = 100  # of those that change places; beyond, they go by when money is due
PROMISED = 8  # so many are tried for a reservation beyond those of the policy, where that spares a machine
PlaceOf: TypeAlias = Callable[[Line, int], Place]


@dataclass(frozen=True, slots=True)
class Need:
    """What a job takes: seconds by its limit and as expected, threads of all its nodes, dollars if it is rented for.

    ``usd`` is inf where nothing on offer would do.
    """

    length_s: float
    run_s: float
    threads: int
    usd: float


NeedOf: TypeAlias = Callable[[Line], Need]


@dataclass(frozen=True, slots=True)
class Waiting:
    place: Place  # by the policy alone
    due_at: float  # waiting any longer costs money
    ticket: Ticket
    need: Need

    def worth_within(self, horizon_s: float) -> float:
        """Dollars that a thread-second of the lab spares, of those until the last of all has to start."""
        room = self.need.threads * min(self.need.run_s, max(1.0, horizon_s))
        return self.need.usd / max(room, 1.0)


@dataclass(frozen=True, slots=True)
class Tariff:
    """The least that anything on offer costs."""

    thread_hourly_usd: float = 0.0
    gpu_hourly_usd: float = 0.0
    egress_usd_per_gb: float = 0.0


def tariff_of(offers: Sequence[Offer]) -> Tariff:
    sold = [one for one in offers if one.source == OWN or 0.0 < one.hourly_usd <= MOST_HOURLY_USD]
    return Tariff(
        min((one.hourly_usd / max(1, one.cpus) for one in sold), default=0.0),
        min((one.hourly_usd / one.accelerators for one in sold if one.accelerators), default=0.0),
        min((one.egress_usd_per_gb for one in sold if one.egress_usd_per_gb >= 0.0), default=0.0),
    )


def need_of(line: Line, length_s: float, run_s: float, tariff: Tariff, market: MarketRules, node_threads: int) -> Need:
    """``node_threads``: of a usual node, for who wants whole ones."""
    request, wanted = line.request, line.request.resources
    threads = request.min_nodes * (node_threads if wanted.all_cpus else max(1, request.cpus))
    hourly_usd = threads * tariff.thread_hourly_usd + request.min_nodes * wanted.gpus * tariff.gpu_hourly_usd
    egress_usd = results_mb(line.spec, market) / 1000.0 * tariff.egress_usd_per_gb
    usd = hourly_usd * run_s / 3600.0 + egress_usd if _rentable(line, market) else float("inf")
    return Need(length_s, run_s, threads, usd)


def _rentable(line: Line, market: MarketRules) -> bool:
    wanted = line.spec.burst.providers
    return any(fits(line.request, one, market) for one in market.offers if not wanted or one.provider in wanted)


def may_wait_s(spec: JobSpec, length_s: float, market: MarketRules) -> float:
    """So long after its submit, or a little longer, a machine rented for the job still keeps its deadline."""
    up_mb_per_s = min((line.up_mb_per_s for line in market.lines.values()), default=1.0)
    down_mb_per_s = min((line.down_mb_per_s for line in market.lines.values()), default=1.0)
    carried_s = inputs_mb(spec, market) / up_mb_per_s + results_mb(spec, market) / down_mb_per_s
    away_s = max(market.boot_s.values(), default=0.0) + carried_s + length_s
    unsure_s = away_s - length_s if spec.max_duration_s else away_s
    return max(0.0, spec.burst.deadline_s - away_s - in_hand_s(unsure_s) - market.tick_s)


def exchanged(
    lines: Sequence[Line], place: PlaceOf, need_of: NeedOf, market: MarketRules, now: float, threads: int
) -> dict[Ticket, Place]:
    """The places of those that change theirs. ``threads``: of the whole lab."""
    purses: dict[str, list[tuple[Line, Need]]] = {}
    for line in lines:
        if counts(line) and (need := need_of(line)).length_s < UNKNOWN:
            purses.setdefault(line.spec.budget, []).append((line, need))
    found: dict[Ticket, Place] = {}
    for mine in purses.values():
        waiting = [
            Waiting(place(line, at), ticket[0] + wait_s, ticket, need)
            for line, need in mine
            for wait_s in [may_wait_s(line.spec, need.length_s, market)]
            for at, ticket in enumerate(line.tickets)
        ]
        known = {id(line) for line, _ in mine}
        others = [line for line in lines if id(line) not in known]
        for run in _runs(sorted(waiting, key=lambda one: one.place), others, place):
            found.update((dealt.ticket, own.place) for own, dealt in zip(run, in_turn(run, now, threads), strict=True))
    return found


def in_turn(waiting: Sequence[Waiting], now: float, threads: int) -> list[Waiting]:
    """By when money is due; last of all those that cannot start by then behind those before them in a lab that is free:
    whenever there is one, whoever spares the least for his room leaves (after Moore, 1968). Not those for whom it is
    too late to rent a machine: they wait for what was promised them here, and nothing else keeps their deadline."""
    by_due = sorted(waiting, key=lambda one: (one.due_at, one.place))
    looked_at = [one for one in by_due if one.need.threads <= threads][:LOOKED_AT]  # the lab is too small for others
    horizon_s = looked_at[-1].due_at - now if looked_at else 0.0
    firm = [one for one in looked_at if one.due_at + LEAST_GAIN_S < now]
    kept: list[tuple[float, Place, Waiting]] = []
    left: set[Ticket] = set()
    for one in looked_at[len(firm) :]:
        heappush(kept, (one.worth_within(horizon_s), one.place, one))
        before = [*firm, *(other for _, _, other in kept if other is not one)]
        while one.ticket not in left and not _starts(one, before, max(0.0, one.due_at - now), threads):
            _, _, least = heappop(kept)
            left.add(least.ticket)
            before = [other for other in before if other is not least]
    return sorted(by_due, key=lambda one: one.ticket in left)


def _starts(one: Waiting, before: Sequence[Waiting], within_s: float, threads: int) -> bool:
    """Whether its threads are free by then: those that run for longer hold theirs, the others do their work."""
    held = sum(other.need.threads for other in before if other.need.run_s > within_s)
    work = sum(other.need.threads * min(other.need.run_s, within_s) for other in before)
    return held + one.need.threads <= threads and work <= threads * within_s


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
        own = one.place
        passed = bisect_right(begins, own)
        inside = passed > 0 and furthest[passed - 1] > own
        section = (own[0], own[1], passed, inside)
        if section == before and not inside:
            runs[-1].append(one)
        else:
            runs.append([one])
        before = section
    return runs


def counts(line: Line) -> bool:
    """Whether machines may be rented to keep its jobs' deadline."""
    return line.spec.burst.policy != "never" and line.spec.burst.deadline_s > 0.0 and not line.cancelled


def promises_more(policy: Policy, rules: Rules) -> int:
    """How many of those that `counts` are tried for a reservation beyond those of the policy."""
    return PROMISED if rules.market.offers and not rules.depth and policy.depth != KEEP_ALL else 0
