"""Every half minute the gang asks itself who holds it back; rank 0 says so in the log, when the answer is a new one."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from statistics import median

from beowulf.split.straggler import FIELDS, from_rows, rank_nodes
from beowulf.train.reduction import Reduction

EVERY_S = 30.0
FEWEST_STEPS = 8  # that are asked about at once; so many go before the first answer, too


class Straggling:
    """``environment`` tells which node each rank is on, and what its line carries."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._nodes = rank_nodes(environment)
        rates = [float(word) for word in environment.get("BEOWULF_LINES", "").split(",") if word.strip()]
        self._rates = dict(zip(self._nodes, rates))
        self._sums = dict.fromkeys(FIELDS, 0.0)
        self._steps = 0
        self._due = FEWEST_STEPS
        self._told: tuple[int, str] | None = None

    def stepped(self, figures: Mapping[str, float], k: int, reduction: Reduction) -> None:
        """Every rank calls it after each step. ``figures``: its step in seconds, and its processor's clock."""
        if reduction.world == 1:
            return
        for name, value in (*figures.items(), ("k", k)):
            self._sums[name] += value
        self._steps += 1
        if self._steps >= self._due:
            self._tell(reduction.gather([self._sums[name] / self._steps for name in FIELDS]), reduction.rank)

    def _tell(self, rows: Sequence[Sequence[float]], rank: int) -> None:
        """``rows``: each rank's means. All ranks see the same, so all ask again after as many steps."""
        self._sums, self._steps = dict.fromkeys(FIELDS, 0.0), 0
        step_s = median(row[FIELDS.index("step_s")] for row in rows)
        self._due = max(FEWEST_STEPS, math.ceil(EVERY_S / step_s)) if step_s > 0.0 else FEWEST_STEPS
        found = from_rows(rows, self._nodes, self._rates)
        named = None if found is None else (found.rank, found.cause)
        if found is not None and named != self._told and rank == 0:
            print(f"beowulf: {found.sentence}", file=sys.stderr, flush=True)
        self._told = named
