"""How often a checkpoint is made when the script leaves that to us."""

from __future__ import annotations

from itertools import pairwise

import pytest

from beowulf.train.cadence import Cadence, every_s


class Gang:
    """Ranks in lockstep, each with a clock of its own that only rank 0's counts of."""

    def __init__(self, ranks: int, mtbf_s: float, step_s: float) -> None:
        self.now, self.step_s, self.looks = 0.0, step_s, 0
        environ = {"BEOWULF_GANG_MTBF_S": str(mtbf_s)}
        self.ranks = [Cadence(environ, rank, lambda rank=rank: self.now * (1 + rank)) for rank in range(ranks)]

    def run(self, steps: int, cost_s: float) -> list[float]:
        """When checkpoints were made."""
        made = []
        for step in range(1, steps):
            self.now += self.step_s
            told: list[tuple[float, ...]] = []

            def ask(*mine: float, told: list[tuple[float, ...]] = told) -> list[float]:
                told.append(mine)
                return [1e9, 1.0]

            for rank in self.ranks:  # first what each says, then the sum of it
                rank.due(step, ask)
            assert len(told) in (0, len(self.ranks)), "all ranks ask at the same steps"
            if not told:
                continue
            self.looks += 1
            total = [sum(column) for column in zip(*told, strict=True)]
            answers = {rank.due(step, lambda *_, total=total: total) for rank in self.ranks}
            assert len(answers) == 1, "all ranks or none"
            if answers == {True}:
                made.append(self.now)
                for rank in self.ranks:
                    rank.made(step, cost_s)
        return made


def test_it_is_youngs_interval_from_the_measured_cost_and_the_gangs_failures() -> None:
    gang = Gang(3, mtbf_s=7200.0, step_s=1.0)
    made = gang.run(3000, cost_s=4.0)
    assert made[0] == pytest.approx((2 * 1.0 * 7200.0) ** 0.5, rel=0.03), "nothing is known of the cost yet"
    gaps = [later - sooner for sooner, later in pairwise(made)]
    assert gaps == pytest.approx([(2 * 4.0 * 7200.0) ** 0.5] * len(gaps), rel=0.03) and len(gaps) > 8
    assert gang.looks < 25 * len(made)


def test_a_gang_that_fails_all_the_time_still_trains() -> None:
    assert every_s(30.0, 60.0) == 300.0
