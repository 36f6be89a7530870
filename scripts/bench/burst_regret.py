"""What our planner pays more than a plan made beforehand by somebody who knew everything, and what it pays that for.

Between the two stand plans that know less: how long everybody runs, but not so surely that somebody may start here too
late for his limit; and of who comes, only who comes soon, or nobody before he is there.
"""

from __future__ import annotations

from dataclasses import dataclass

from burst_bound import bound
from burst_offline import ahead, coarse, offline, rent_usd, window, windows
from burst_trace import ARMS, Bed, Tally, tally, with_deadlines

from beowulf.model.snapshot import Snapshot
from beowulf.sim import Outcome, Ran, Trace

WAYS = ("ours", "run times", "ten minutes")
AHEAD_S = {"an hour ahead": 3600.0, "who is there": 0.0}


@dataclass(frozen=True)
class Effort:
    """``rounds`` of search for a whole trace, ``again`` whenever a job becomes known, and for each window of so many
    jobs; ``solving_s`` for an optimum."""

    rounds: int = 20_000
    again: int = 20
    windows: int = 6
    jobs: int = 30
    window_rounds: int = 2000
    solving_s: float = 60.0


SHORT = Effort(rounds=200, again=5, windows=2, jobs=12, window_rounds=200)


def report(made: Bed, seed: int, effort: Effort) -> None:
    """All of it under one deadline rule."""
    workload = with_deadlines(made.read, made.setting, seed)
    best = offline(workload, made.cluster, made.setting, effort.rounds)
    print(f"\ndeadline: {made.setting.rule}; {len(workload.jobs)} jobs on {len(made.cluster.nodes)} nodes")
    print("way                cost   late    regret      egress    running     unused")
    line("beforehand", best.tally, best.tally)
    sure = offline(workload, made.cluster, made.setting, effort.rounds, by_limits=True)
    line("by limits", sure.tally, best.tally)
    for name, bill in foresighted(workload, made, effort).items():
        line(name, bill, best.tally)
    for name in WAYS:
        outcome = ARMS[name](workload, made.cluster, made.setting)
        line(name, tally(outcome), best.tally)
        if name != "ten minutes":
            print(told(ledger(outcome, best.outcome, made.cluster)), flush=True)
    least = bound(workload, made.cluster, made.setting.rules().market)
    print(f"no plan costs less than ${least.usd:.2f}, with jobs in pieces, no boots and no idle time", flush=True)
    proven(made, seed, effort)


def line(name: str, one: Tally, best: Tally) -> None:
    spare = one.cost_usd - one.egress_usd - one.running_usd
    parts = "".join(f" ${usd:9.2f}" for usd in (one.egress_usd, one.running_usd, spare))
    print(f"{name:14} ${one.cost_usd:8.2f} {one.late:5d} {regret(one.cost_usd, best.cost_usd):>9} {parts}", flush=True)


def regret(usd: float, best_usd: float) -> str:
    return f"{usd / best_usd - 1.0:+.1%}" if best_usd > 0.0 else "-"


def told(found: Ledger) -> str:
    both, room, taken, theirs = found.jobs
    return (
        f"    rented for as in the plan: {both} jobs ${found.both_usd:.2f}; the lab had room later and in time: {room} "
        f"${found.room_usd:.2f}; others were in the way: {taken} ${found.taken_usd:.2f}; "
        f"only the plan rents: {theirs} ${found.theirs_usd:.2f}"
    )


def proven(made: Bed, seed: int, effort: Effort) -> None:
    """Windows of the same trace, each alone: the optimum, the search that the whole trace is judged by, and ours."""
    least, late, unproven, usd = 0.0, 0, 0, dict.fromkeys(("optimum", "by limits", "search", *AHEAD_S, *WAYS[:2]), 0.0)
    for part in windows(coarse(made.read, made.threads), effort.jobs, effort.windows):
        workload = with_deadlines(part, made.setting, seed)
        found, sure = (
            window(workload, made.cluster, made.setting, effort.solving_s, by_limits=limits) for limits in (False, True)
        )
        least, unproven = least + found.least_usd, unproven + (found.gap > 0.0) + (sure.gap > 0.0)
        bills = {
            "optimum": found.best,
            "by limits": sure.best,
            "search": offline(workload, made.cluster, made.setting, effort.window_rounds).tally,
            **foresighted(workload, made, effort),
            **{name: tally(ARMS[name](workload, made.cluster, made.setting)) for name in WAYS[:2]},
        }
        late += sum(bill.late for bill in bills.values())
        usd = {name: paid + bills[name].cost_usd for name, paid in usd.items()}
    print(f"the {effort.windows} busiest windows of {effort.jobs} jobs, each alone, in whole nodes and ten minutes")
    print(f"    {late} late; {unproven} not proven; without boots and idle time no plan costs less than ${least:.2f}")
    for name, paid in usd.items():
        print(f"    {name:14} ${paid:8.2f} {regret(paid, usd['optimum']):>9}", flush=True)


def foresighted(workload: Trace, made: Bed, effort: Effort) -> dict[str, Tally]:
    """By limits, with every run time known, and arrivals so long before as `AHEAD_S` says."""
    return {
        name: ahead(workload, made.cluster, made.setting, effort.again, ahead_s).tally
        for name, ahead_s in AHEAD_S.items()
    }


@dataclass(frozen=True)
class Ledger:
    """Dollars of jobs' own (their run there and their way home), by who rented for them."""

    both_usd: float
    room_usd: float  # ours alone, though the lab had room for it later, and in time
    taken_usd: float  # ours alone, as others held the lab until it was too late
    theirs_usd: float  # the plan's alone
    jobs: tuple[int, int, int, int]


def ledger(mine: Outcome, theirs: Outcome, cluster: Snapshot) -> Ledger:
    """Where our bill differs from the plan's, job by job."""
    away = {id(one.job) for one in theirs.ran if one.offer}
    own = {id(one.job) for one in mine.ran if one.offer}
    room = Held(mine, cluster)
    usd, count = [0.0] * 4, [0] * 4
    for one in (*mine.ran, *(one for one in theirs.ran if id(one.job) not in own)):
        if one.offer is None:
            continue
        if id(one.job) not in own:
            kind = 3
        elif id(one.job) in away:
            kind = 0
        else:
            kind = 1 if room.in_time(one) else 2
        usd[kind] += rent_usd(one.job, one.offer, 0.0)
        count[kind] += 1
    return Ledger(usd[0], usd[1], usd[2], usd[3], (count[0], count[1], count[2], count[3]))


class Held:
    """Threads in use in the lab as a replay went, whatever the nodes they were on."""

    def __init__(self, outcome: Outcome, cluster: Snapshot) -> None:
        self._all = sum(len(node.usable_cpus) for node in cluster.nodes.values())
        here = [one for one in outcome.ran if one.offer is None]
        changes = [(one.started_at, one.threads) for one in here] + [(one.ended_at, -one.threads) for one in here]
        self._changes = sorted(changes)

    def in_time(self, one: Ran) -> bool:
        """Whether its threads were free for as long as it ran, from some moment after its machines were ordered on."""
        job = one.job
        wanted, run_s = job.spec.min_nodes * job.spec.resources.cpus, one.ended_at - one.started_at
        since, last = one.started_at, job.submitted_at + job.spec.burst.deadline_s - run_s
        used, free_since = 0, since
        for at, threads in self._changes:
            if free_since <= last and at - free_since >= run_s:
                return True
            used += threads
            free_since = min(free_since, max(at, since)) if used + wanted <= self._all else float("inf")
        return free_since <= last
