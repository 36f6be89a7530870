"""Which job goes first, and what those that wait keep for themselves: one table entry per policy.

``order`` gives a job's rank from its `Standing`, higher first; ties go by (submitted, number, index), and the job
file's ``priority`` goes before all of it. It must not fall while a job waits; None: nobody is ranked, and who came
first goes first. ``depth`` jobs get a reservation; ``KEEP_ALL`` instead lets every job that waits keep each node it
could ever run on.

On which kind of device a job runs is the placement's matter: of its `Prospect` on each, the least ``score`` is taken,
and a score must not fall with a later start. With ``waits`` a job may wait for a better kind though a lesser is free.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from beowulf.model.rules import Rules, Weights

KEEP_ALL = -1


class Standing(NamedTuple):
    """What a policy may look at. ``length_s`` is the limit or the estimate; inf where neither is known."""

    waited_s: float
    age: float  # waited_s / age_full_s: 1.0 counts as much as the weight says, and it goes on growing
    fair_share: float  # 1: used nothing lately; 0.5: just its share
    size: float  # 1: tiny; towards 0: much of the cluster for long; 0 where the length is not known
    service: float  # the weight of its class
    length_s: float
    nodes: int
    weights: Weights


@dataclass(frozen=True, slots=True)
class Policy:
    order: Callable[[Standing], float] | None = None
    depth: int = 1
    latest_first: bool = True  # a reservation rather takes nodes that are busy now, and leaves the free ones to others
    personal: bool = True  # it matters whose a job is: without, replays are quicker
    steady: bool = False  # of the jobs of one account, none overtakes another while they wait: replays are quicker
    by_deadline: bool = True  # jobs that money would be spent on take each other's turns: see `turns`


def multifactor(job: Standing) -> float:
    weights = job.weights
    return (
        weights.age * job.age
        + weights.fair_share * job.fair_share
        + weights.size * job.size
        + weights.service * job.service
    )


def short_first(job: Standing) -> float:
    """Mean slowdown at its best: what is short goes first, and waiting makes shorter (highest response ratio next)."""
    return 1.0 + job.waited_s / max(job.length_s, 60.0)


POLICIES: dict[str, Policy] = {
    "fair": Policy(multifactor, steady=True),
    "fifo": Policy(depth=KEEP_ALL, by_deadline=False),
    "easy": Policy(),
    "conservative": Policy(multifactor, depth=20, latest_first=False, steady=True),
    "short": Policy(short_first, personal=False),
}


BLIND = "blind"  # whatever fits


class Prospect(NamedTuple):
    """What a job has before it on one kind of device. Times in seconds, money in US dollars."""

    start_s: float  # from now
    length_s: float  # in proportion only, unless ``known``
    waited_s: float
    equal_s: float  # how long it took with an equal share of every device, if all who want any had one
    usd: float  # for the whole of it
    known: bool

    @property
    def finish_s(self) -> float:
        return self.start_s + self.length_s


@dataclass(frozen=True, slots=True)
class Objective:
    score: Callable[[Prospect], tuple[float, ...]]
    waits: bool = True


def soonest_done(there: Prospect) -> tuple[float, ...]:
    return (there.finish_s,)


def fastest(there: Prospect) -> tuple[float, ...]:
    return (there.length_s,)


def fair_finish(there: Prospect) -> tuple[float, ...]:
    """As on an equal share of all devices or sooner, and then on the slowest that keeps to it: others need the fast."""
    late = (there.waited_s + there.finish_s) / there.equal_s
    return (late, there.length_s) if late > 1.0 else (1.0, -there.length_s)


def cheapest(there: Prospect) -> tuple[float, ...]:
    return (there.usd, there.finish_s)


PLACEMENTS: dict[str, Objective] = {
    BLIND: Objective(lambda there: (0.0,), waits=False),
    "fastest": Objective(fastest, waits=False),
    "makespan": Objective(soonest_done),
    "fairness": Objective(fair_finish),
    "cost": Objective(cheapest),
}


def policy_of(rules: Rules) -> Policy:
    policy = POLICIES[rules.policy]
    if rules.depth and policy.depth != KEEP_ALL:
        return replace(policy, depth=rules.depth, latest_first=policy.latest_first and rules.depth == 1)
    return policy
