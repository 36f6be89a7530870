"""Who used how much lately: thread-seconds that count half after every half-life.

Sums are whole numbers, so that they are the same in whatever order they were added: a plan made from what changed
must equal the plan from nothing. With H the half-life, a use of rate r from s to e weighs at time t
``r·H/ln2·2^(-t/H)·(2^(e/H) - 2^(s/H))``; the factors all users have in common are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from immutables import Map

from beowulf.model.job import Job
from beowulf.model.rules import Rules

GPU_COUNTS_AS_THREADS = 16
BITS = 40


@dataclass(frozen=True, slots=True)
class Used:
    """``rate``: what is in use now, in threads; ``begun``: its weight at its begin; ``ended``: what is over."""

    rate: int = 0
    begun: int = 0
    ended: int = 0

    def plus(self, other: Used, sign: int = 1) -> Used:
        return Used(self.rate + sign * other.rate, self.begun + sign * other.begun, self.ended + sign * other.ended)


NOTHING = Used()
Account: TypeAlias = tuple[str, str]
"""(project or "", user)"""

Usage: TypeAlias = Map[Account, Used]
Dues: TypeAlias = Callable[[frozenset[Account], Rules], Mapping[Account, float]]


def grown(at: float, half_life_s: float) -> int:
    """``2^(at/half_life)`` in fixed point."""
    whole, part = divmod(at / half_life_s, 1.0)
    mantissa = round(float(2.0 ** (part + BITS)))
    steps = int(whole)
    return mantissa << steps if steps >= 0 else mantissa >> -steps


def charged(job: Job, half_life_s: float) -> Used:
    """What all attempts of the job have used and use."""
    found = NOTHING
    for attempt in job.attempts:
        threads = sum(len(slot.cpus) for share in attempt.allocation.shares for slot in share.ranks)
        gpus = sum(len(share.gpus) * share.gpu_fraction for share in attempt.allocation.shares)
        rate = threads + round(GPU_COUNTS_AS_THREADS * gpus)
        begin = rate * grown(attempt.placed_at, half_life_s)
        if attempt.ended_at:
            end = rate * grown(max(attempt.ended_at, attempt.placed_at), half_life_s)
            found = found.plus(Used(0, 0, end - begin))
        else:
            found = found.plus(Used(rate, begin, 0))
    return found


def account_of(job: Job) -> Account:
    return job.spec.project, job.owner


def usage_of(jobs: Iterable[Job], half_life_s: float) -> Usage:
    accounts: dict[Account, Used] = {}
    for job in jobs:
        if job.attempts:
            account = account_of(job)
            accounts[account] = accounts.get(account, NOTHING).plus(charged(job, half_life_s))
    return Map({account: used for account, used in accounts.items() if used != NOTHING})


def recharge(usage: Usage, old: Job | None, new: Job | None, half_life_s: float) -> Usage:
    for job, sign in ((old, -1), (new, 1)):
        if job is not None and job.attempts:
            account = account_of(job)
            changed = usage.get(account, NOTHING).plus(charged(job, half_life_s), sign)
            if changed != NOTHING:
                usage = usage.set(account, changed)
            elif account in usage:
                usage = usage.delete(account)
    return usage


def fair_shares(
    usage: Mapping[Account, Used], accounts: Collection[Account], rules: Rules, now: float, dues_of: Dues | None = None
) -> dict[Account, float]:
    """``2^-(used / due)`` of each of ``accounts``: 1 for who used nothing, 0.5 for who used just the part that is due.

    ``dues_of`` stands in for `dues`: it may remember.
    """
    here = grown(now, rules.half_life_s)
    everybody = frozenset((*accounts, *usage))
    weights = {account: max(0, used.ended + used.rate * here - used.begun) for account, used in usage.items()}
    total = sum(weights.values())
    if not total:
        return dict.fromkeys(accounts, 1.0)
    due = (dues_of or dues)(everybody, rules)
    return {account: 2.0 ** -(weights.get(account, 0) / total / due[account]) for account in accounts}


def dues(accounts: frozenset[Account], rules: Rules) -> dict[Account, float]:
    """What part of everything is due to each: of its project's part its own; users without one stand alone."""
    members: dict[Account, list[Account]] = {}  # by project; ("", user) where there is none
    for project, user in sorted(accounts):
        members.setdefault((project, "") if project else ("", user), []).append((project, user))
    promised = sum(_share(top, rules) for top in members)
    found: dict[Account, float] = {}
    for top, those in members.items():
        shares = {account: rules.shares.get(account[1], 1.0) for account in those}
        part = _share(top, rules) / promised / sum(shares.values())
        found |= {account: part * share for account, share in shares.items()}
    return found


def _share(top: Account, rules: Rules) -> float:
    project, user = top
    named = rules.projects.get(project)
    if project:
        return named.share if named is not None else 1.0
    return rules.shares.get(user, 1.0)
