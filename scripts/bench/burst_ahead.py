"""What a planner could make of knowing who comes a while before he comes, and how long everybody will run; but no more.

The search of `burst_oracle` deals anew whenever it is told of one more job. Who has started by then stays where he is,
and who could not start in time any more has been rented for. It proves nothing: another search might find more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from burst_oracle import OfflinePlan, Search, Shape, Task


class Ahead(Search):
    """Steps only go on: one call of `told` after the other, none for an earlier step."""

    def told(self, number: int, step: int, rounds: int) -> None:
        """At this step one more job is known; so many rounds look for room for those who have none."""
        self.active = [one for one in self.active if self._open(one, step)]
        for one in self.active:
            self._not_before(one, step)
        for one in sorted(self.active, key=lambda one: self.places[one].start if one in self.places else -1):
            if one in self.places:  # who was in his way may have gone
                self._clear({one: self.places[one]})
                self._fill([one])
        self.active.append(number)
        self._fill([number])
        for _ in range(rounds):
            self.step(0.0)

    def _open(self, number: int, step: int) -> bool:
        last = self.places[number].start if number in self.places else self._shapes[number].high
        return last >= step

    def _not_before(self, number: int, step: int) -> None:
        shape = self._shapes[number]
        if shape.low < step:
            self._shapes[number] = Shape(step, shape.high, shape.length)
            self._windows[0][number] = step
            if number not in self.places:
                self._begins[number] = step


def foreseen(
    tasks: Sequence[Task], nodes: int, threads: int, step_s: float, *, ahead_s: float, rounds: int, seed: int = 1
) -> OfflinePlan:
    """Everybody is told of ``ahead_s`` before he comes."""
    search, begin_s = Ahead(tasks, nodes, threads, step_s, seed), min(task.come_s for task in tasks)
    search.active = []
    for number in sorted(range(len(tasks)), key=lambda number: tasks[number].come_s):
        step = math.ceil((tasks[number].come_s - ahead_s - begin_s) / step_s - 1e-9)
        search.told(number, step, rounds)
    return OfflinePlan(dict(search.places), search.usd)
