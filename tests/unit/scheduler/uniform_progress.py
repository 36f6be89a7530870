"""Uniform Progress as we read the paper, on its own: a peer for our policies. It knows nothing of `beowulf`.

Wu et al., Can't Be Late: Optimizing Spot Instance Savings under Deadlines, NSDI 2024. With C the work, R the time until
the deadline, d the changeover, cp(t) the work done and ep(t) = t·C/R:
- idle and cp(t) < ep(t): on demand, and stay there until cp(t) >= ep(t + 2d);
- spot is there and the job is not held on demand: take it, whatever the progress, and stay until it is taken away;
- idle and the time left is below the work left + 2d: on demand until the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

IDLE, SPOT, DEMAND = "idle", "spot", "demand"


@dataclass
class Bill:
    cost: float
    late: bool
    changeovers: int


def uniform_progress(
    there: Sequence[int], gap: float, work: float, deadline: float, changeover: float, spot_price: float
) -> Bill:
    """On-demand costs 1 per second. ``there[i]``: spot can be had from i·gap to (i+1)·gap."""
    done, cost, warm, changes = 0.0, 0.0, 0.0, 0
    where, for_good, tick = IDLE, False, 0
    while done < work - 1e-9:
        now = tick * gap
        spot = tick < len(there) and bool(there[tick])
        if where == SPOT and not spot:
            where = IDLE
        before = where
        if where == IDLE:
            if deadline - now < work - done + 2 * changeover:
                where, for_good = DEMAND, True
            elif spot:
                where = SPOT
            elif done < now * work / deadline:
                where = DEMAND
        elif where == DEMAND and not for_good and done >= (now + 2 * changeover) * work / deadline:
            safe = deadline - now >= work - done + 2 * changeover
            where = (SPOT if spot else IDLE) if safe else DEMAND
        if where not in (IDLE, before):
            warm, changes = changeover, changes + 1
        left = gap
        if where != IDLE:
            starting = min(left, warm)
            working = min(left - starting, work - done)
            warm -= starting
            done += working
            cost += (starting + working) * (spot_price if where == SPOT else 1.0)
            left = gap - starting - working if done >= work - 1e-9 else 0.0
        tick += 1
    return Bill(cost, tick * gap - left > deadline + 1e-6, changes)
