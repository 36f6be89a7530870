"""A trace through the scheduler: time jumps from one happening to the next, and each is followed by a plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from beowulf.model.renting import Caps
from beowulf.model.rules import Rules
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler import PLACEMENTS, POLICIES
from beowulf.sim import renting, serving
from beowulf.sim.outcome import Failures, Moving, Outcome
from beowulf.sim.running import NEVER, Buyer, Run
from beowulf.sim.trace import Trace, TraceJob


def replay(
    trace: Trace,
    cluster: Snapshot,
    rules: Rules,
    failures: Failures | None = None,
    caps: Caps | None = None,
    moving: Moving | None = None,
    *,
    audit: bool = False,
    buyer: Buyer | None = None,
) -> Outcome:
    """How ``trace`` goes on ``cluster``. With ``audit``, every reservation is looked at again after the starts.

    Where the rules have offers, machines are rented within ``caps`` for jobs that may burst; ``buyer``, where one is
    given, decides that in the planner's place.
    """
    failures = failures or Failures()
    if not audit and not failures.per_node_hour and buyer is None:
        alike = serving.served(trace, cluster, rules)
        if alike is not None:
            return alike
    begin = trace.jobs[0].submitted_at if trace.jobs else 0.0
    rules = renting.of_the_day(rules, begin) if rules.market.offers else rules
    run = Run(cluster, rules, failures, audit, moving=moving or Moving(), caps=caps or Caps(), buyer=buyer)
    for node in sorted(cluster.nodes):
        run.expect_failure(node, begin)
    for now, number, arrivals in _moments(trace, run):
        run.go_on(now, number, arrivals)
    return run.outcome()


def _moments(trace: Trace, run: Run) -> Iterator[tuple[float, int, Sequence[TraceJob]]]:
    """(time, first number, who comes then): arrivals and what is on the heap, one moment after the other."""
    jobs, come = trace.jobs, 0
    while come < len(jobs) or (run.heap and not run.over()):
        arrival = jobs[come].submitted_at if come < len(jobs) else NEVER
        now = min(arrival, run.heap[0][0] if run.heap else NEVER)
        first = come
        while come < len(jobs) and jobs[come].submitted_at <= now:
            come += 1
        yield now, first + 1, jobs[first:come]


def policy_names() -> tuple[str, ...]:
    """Those of the table, also entries somebody added to it."""
    return tuple(POLICIES)


def placement_names() -> tuple[str, ...]:
    return tuple(PLACEMENTS)
