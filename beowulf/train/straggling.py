"""Once per epoch the gang asks itself who holds it back; rank 0 says so in the log, when the answer is a new one."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from beowulf.split.straggler import FIELDS, from_rows, rank_nodes
from beowulf.train.reduction import Reduction


class Straggling:
    """``environment`` tells which node each rank is on, and what its line carries."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._nodes = rank_nodes(environment)
        rates = [float(word) for word in environment.get("BEOWULF_LINES", "").split(",") if word.strip()]
        self._rates = dict(zip(self._nodes, rates))
        self._sums = dict.fromkeys(FIELDS, 0.0)
        self._steps = 0
        self._told: tuple[int, str] | None = None

    def stepped(self, figures: Mapping[str, float], k: int) -> None:
        """``figures``: this rank's step in seconds, and its processor's clock."""
        for name, value in (*figures.items(), ("k", k)):
            self._sums[name] += value
        self._steps += 1

    def tell(self, reduction: Reduction) -> None:
        """Every rank calls it, at the same place; the means begin anew."""
        means = [self._sums[name] / max(1, self._steps) for name in FIELDS]
        self._sums, self._steps = dict.fromkeys(FIELDS, 0.0), 0
        if reduction.world == 1:
            return
        found = from_rows(reduction.gather(means), self._nodes, self._rates)
        named = None if found is None else (found.rank, found.cause)
        if found is not None and named != self._told and reduction.rank == 0:
            print(f"beowulf: {found.sentence}", file=sys.stderr, flush=True)
        self._told = named
