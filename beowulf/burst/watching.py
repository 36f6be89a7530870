"""What the head has seen of spot machines: how long there were any, and how often one was taken back.

A fold over the machines of the ledger, and so over their events. Spot is known to be there while a machine of it is
ours, and not to be there for a while after the provider had none; nothing is known of other times.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TypeAlias

from beowulf.model.cloud import Machine, Market
from beowulf.model.market import Place, SpotSeen, place_of

Span: TypeAlias = tuple[float, float]

ABSENT_S = 300.0  # so long after the provider had none, it is taken to have none still


def spot_seen(machines: Iterable[Machine], now: float) -> Mapping[Place, SpotSeen]:
    """By site, zone and machine type, of those that were ever asked for as spot."""
    places: dict[Place, list[Machine]] = {}
    for machine in machines:
        if machine.market is Market.SPOT:
            places.setdefault(place_of(machine.offer), []).append(machine)
    return {place: _seen(sorted(known, key=_number), now) for place, known in places.items()}


def _seen(machines: Sequence[Machine], now: float) -> SpotSeen:
    ours = [span for one in machines if one.created_at and (span := (one.created_at, _end(one, now)))[1] > span[0]]
    absent = [span for span in _absences(machines, now) if span[1] > span[0]]
    there_s = _length_s(ours)
    return SpotSeen(
        watched_s=_length_s([*ours, *absent]),
        there_s=there_s,
        up_s=sum(end - begin for begin, end in ours),
        reclaims=sum(map(_taken_back, machines)),
    )


def _absences(machines: Sequence[Machine], now: float) -> Iterable[Span]:
    """After each answer that there are none, until it is asked for again."""
    for machine, later in pairwise([*machines, None]):
        if machine is not None and machine.sold_out:
            until = min(now, machine.gone_at + ABSENT_S)
            yield machine.gone_at, min(until, later.intended_at) if later else until


def _end(machine: Machine, now: float) -> float:
    return min(machine.reclaim_at or now, machine.terminating_at or now, machine.gone_at or now, now)


def _taken_back(machine: Machine) -> bool:
    """It was announced, or its provider ended it though nobody had asked for that and its lease was good."""
    unasked = machine.created_at and machine.gone_at and not machine.terminating_at
    return bool(machine.reclaim_at or (unasked and machine.gone_at < machine.lease_until))


def _length_s(spans: Iterable[Span]) -> float:
    """Of all of them together, counting no moment twice."""
    total, until = 0.0, 0.0
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total


def _number(machine: Machine) -> int:
    return machine.number
