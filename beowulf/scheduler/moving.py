"""Which running jobs may be done so much sooner on devices that are free that it pays to move them.

A move costs the time between two attempts. How fast a job is where it runs is what its ranks report; how fast it would
be elsewhere, the same table says by which new jobs are placed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from beowulf.model.job import Job
from beowulf.scheduler.board import Board
from beowulf.scheduler.choosing import on_device
from beowulf.scheduler.paces import Paces
from beowulf.scheduler.policies import BLIND
from beowulf.scheduler.request import request_of
from beowulf.scheduler.state import State

LEAST_COST_S = 60.0
WORTH = 3.0  # so many times its cost is the least that a move gains …
PART = 0.2  # … and this part of the time that is left


@dataclass(frozen=True, slots=True)
class Mover:
    """A running job with ``steps`` to go that does so many per second where it is, and what a move costs it.

    ``better``: kinds of device that are free and pay, as far as something was seen or measured of them.
    """

    job: Job
    steps: float
    steps_per_s: float
    cost_s: float
    better: frozenset[str] = frozenset()

    @property
    def stay_s(self) -> float:
        return self.left_s(self.steps_per_s)

    def left_s(self, steps_per_s: float) -> float:
        return self.steps / steps_per_s

    def pays(self, steps_per_s: float) -> bool:
        """Whether to go on at this pace elsewhere; 0: nobody knows it."""
        gain_s = self.stay_s - self.left_s(steps_per_s) if steps_per_s > 0 else 0.0
        return gain_s > max(WORTH * self.cost_s, PART * self.stay_s)


def movers(state: State, jobs: Sequence[Job], now: float) -> list[Mover]:
    """Those of ``jobs`` (running, with checkpoints) for which there is room now on a kind of device that pays."""
    if not state.rules.moves or state.rules.placement == BLIND:
        return []
    paces, board = Paces(state), Board(state.fits, *state.free)
    found = (mover for job in jobs if (mover := mover_of(job, now)) is not None)
    known = (replace(mover, better=_better(mover, paces, board)) for mover in found)
    return [mover for mover in known if mover.better]


def mover_of(job: Job, now: float) -> Mover | None:
    """None where nobody knows how long the job will go on where it is."""
    attempt = job.attempt
    if attempt is None or not job.spec.steps or not attempt.steps_per_s:
        return None
    done = attempt.from_step + attempt.steps_per_s * (now - attempt.started_at)
    if done >= job.spec.steps:
        return None
    # It took as long to start here; what is staged there before it is stopped makes a move rather shorter.
    cost_s = max(LEAST_COST_S, attempt.started_at - attempt.placed_at) + job.spec.kill_grace_s
    return Mover(job, job.spec.steps - done, attempt.steps_per_s, cost_s)


def _better(mover: Mover, paces: Paces, board: Board) -> frozenset[str]:
    job, attempt = mover.job, mover.job.attempt
    assert attempt is not None
    size, ranks = len(attempt.allocation.nodes), attempt.allocation.world_size
    others = (kind for kind in paces.kinds(job.spec.resources) if kind != attempt.allocation.device)
    paying = [kind for kind in others if mover.pays(paces.at(job.spec, job.owner, kind, ranks) or 0.0)]
    if not paying:  # the rest costs more
        return frozenset()
    request = replace(request_of(job.spec, job.owner), min_nodes=size, max_nodes=size)
    return frozenset(kind for kind in paying if board.count(on_device(request, kind)) >= size)
