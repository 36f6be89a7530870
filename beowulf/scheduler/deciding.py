"""The whole plan: what starts and waits, and what is rented for those that wait."""

from __future__ import annotations

from dataclasses import replace

from immutables import Map

from beowulf.model.market import MarketRules
from beowulf.model.rules import Rules
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler import planning
from beowulf.scheduler.answers import Plan
from beowulf.scheduler.bursting import grow
from beowulf.scheduler.planning import Memo


def plan(snapshot: Snapshot, now: float, rules: Rules | None = None) -> Plan:
    """What to start and rent now, and why the rest waits.

    Deterministic: ties break by (priority, submitted, number, index).
    """
    return replan(snapshot, now, rules or Rules(), None)[0] if snapshot.pending else Plan()


def replan(snapshot: Snapshot, now: float, rules: Rules, memo: Memo | None) -> tuple[Plan, Memo]:
    """`plan`, at a cost that goes by what changed since the plan that gave ``memo``; the answer is the same."""
    decided, state = planning.replan(snapshot, now, rules, memo)
    if memo is None or not _same(memo.rules.market, rules.market):
        state = replace(state, quiet=Map())
    if not rules.market.offers:
        return decided, state
    bought, again_at, quiet = grow(state, decided, now)
    decided = replace(decided, grow=bought, again_at=min(decided.again_at, again_at))
    return decided, replace(state, quiet=quiet)


def _same(one: MarketRules, other: MarketRules) -> bool:
    """But for the money: with less of it nothing is rented sooner."""
    return one is other or replace(one, left=other.left) == other
