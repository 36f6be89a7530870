"""The least that anybody could pay for a few jobs that take whole nodes: proven, by integer programming.

Jobs are whole, and all times are whole steps: then there is a best plan whose starts are whole steps, too
(move every start to the left until its own arrival or another's end stops it), and any that never holds more nodes than
there are can be dealt to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from burst_oracle import Lab, OfflinePlan, Place, Shape, Task, shape_of
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

ROUNDING = 1e-6


@dataclass(frozen=True)
class Exact:
    """``least_usd``: no plan costs less, be it without boots or idle time. ``plan``: one that costs little more, as its
    machines boot and idle. ``gap``: what the solver left open between the two, as a part; 0: proven."""

    least_usd: float
    plan: OfflinePlan
    gap: float


def exact(tasks: Sequence[Task], nodes: int, step_s: float, *, most_s: float) -> Exact:
    begin_s = min(task.come_s for task in tasks)
    shapes = [shape_of(task, begin_s, step_s) for task in tasks]
    starts = [(number, at) for number, shape in enumerate(shapes) for at in range(shape.low, shape.high + 1)]
    cost = np.array([*(task.least_usd for task in tasks), *(0.0 for _ in starts)])
    found = milp(
        cost,
        integrality=np.ones(len(cost)),
        bounds=Bounds(0.0, 1.0),
        constraints=[_once(len(tasks), starts), _room(tasks, shapes, starts, nodes)],
        options={"time_limit": most_s, "mip_rel_gap": 0.0},
    )
    if found.x is None or found.mip_dual_bound is None:
        raise RuntimeError(f"no plan was found: {found.message}")
    chosen = sorted(
        (at, number) for (number, at), taken in zip(starts, found.x[len(tasks) :], strict=True) if taken > 0.5
    )
    places = _dealt(tasks, shapes, chosen, nodes)
    usd = sum(task.rent_usd for number, task in enumerate(tasks) if number not in places)
    gap = float(found.mip_gap or 0.0)
    return Exact(max(0.0, float(found.mip_dual_bound)), OfflinePlan(places, usd), gap if gap > ROUNDING else 0.0)


def _once(jobs: int, starts: Sequence[tuple[int, int]]) -> LinearConstraint:
    """Each is rented for, or starts here at one of its steps."""
    rows = [*range(jobs), *(number for number, _ in starts)]
    every = coo_array((np.ones(len(rows)), (rows, range(len(rows)))), shape=(jobs, len(rows)))
    return LinearConstraint(every.tocsr(), 1.0, 1.0)


def _room(
    tasks: Sequence[Task], shapes: Sequence[Shape], starts: Sequence[tuple[int, int]], nodes: int
) -> LinearConstraint:
    """Who stays never holds more nodes than there are, in any step."""
    held = [(at + later, len(tasks) + column, tasks[number].nodes)
            for column, (number, at) in enumerate(starts) for later in range(shapes[number].length)]  # fmt: skip
    steps, columns, wide = zip(*held, strict=True) if held else ((), (), ())
    table = coo_array((wide, (steps, columns)), shape=(max(steps, default=0) + 1, len(tasks) + len(starts)))
    return LinearConstraint(table.tocsr(), -np.inf, float(nodes))


def _dealt(
    tasks: Sequence[Task], shapes: Sequence[Shape], chosen: Sequence[tuple[int, int]], nodes: int
) -> dict[int, Place]:
    """On which nodes, in the order of their starts."""
    lab = Lab(nodes, max(task.cpus for task in tasks), max(shape.high + shape.length for shape in shapes) + 1)
    places = {}
    for at, number in chosen:
        pinned = Shape(at, at, shapes[number].length)
        place = lab.room(tasks[number], pinned)
        assert place is not None, "more nodes were planned than there are"
        lab.put(tasks[number], pinned, place)
        places[number] = place
    return places
