"""The least we can find to pay for jobs of which everything is known beforehand: a plan that can be carried out.

Each job is whole: it starts once, on nodes of the lab that stay its own until it ends, or machines are rented for it.
Found by large neighbourhood search (Shaw, 1998; ruin and recreate: Schrimpf et al., 2000): around one that is rented
for, some jobs give up their places, and all of them look for one anew, in an order drawn at random. What costs more is
kept now and then, ever more rarely. Nothing of `beowulf` is used: it judges our planner, and shares no thought with it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

MOST_MOVED = 24  # jobs that give up their places at once
WARMTH = 0.2  # of what a job costs on average: so much dearer a plan may become at first


@dataclass(frozen=True)
class Task:
    """``rent_usd``: on the cheapest machines from their order until they are given back, and its way home.
    ``least_usd``: of these, only while it runs. ``due_s``: it has ended by then."""

    come_s: float
    run_s: float
    due_s: float
    nodes: int
    cpus: int  # of each of its nodes
    rent_usd: float
    least_usd: float = 0.0

    @property
    def work(self) -> float:
        return max(1.0, self.run_s) * self.nodes * self.cpus


@dataclass(frozen=True)
class Shape:
    """A task in steps of time: where it may start at the first and at the last, and how many it takes."""

    low: int
    high: int
    length: int


@dataclass(frozen=True)
class Place:
    start: int
    nodes: tuple[int, ...]


@dataclass(frozen=True)
class OfflinePlan:
    """``places``: of those that stay in the lab, by their number; machines are rented for the others."""

    places: Mapping[int, Place]
    usd: float


def shape_of(task: Task, begin_s: float, step_s: float) -> Shape:
    """It may take part of its last step only; before the first whole step it cannot start."""
    low = math.ceil((task.come_s - begin_s) / step_s - 1e-9)
    high = math.floor((task.due_s - task.run_s - begin_s) / step_s + 1e-9)
    return Shape(low, high, max(1, math.ceil(task.run_s / step_s - 1e-9)))


class Lab:
    """Threads in use, of each node in each step."""

    def __init__(self, nodes: int, threads: int, steps: int) -> None:
        self._threads = threads
        self._used = np.zeros((nodes, steps), dtype=np.int16)

    def room(self, task: Task, shape: Shape) -> Place | None:
        """Where it may start the soonest, on the nodes that are busiest then."""
        if shape.high < shape.low:
            return None
        span = self._used[:, shape.low : shape.high + shape.length]
        full = np.zeros((len(span), span.shape[1] + 1), dtype=np.int32)
        np.cumsum(span > self._threads - task.cpus, axis=1, out=full[:, 1:])
        free = full[:, shape.length :] == full[:, : -shape.length]
        able = np.count_nonzero(free, axis=0) >= task.nodes
        at = int(np.argmax(able))
        if not able[at]:
            return None
        names = np.flatnonzero(free[:, at])
        busy = span[names, at : at + shape.length].sum(axis=1)
        chosen = names[np.argsort(-busy, kind="stable")[: task.nodes]]
        return Place(shape.low + at, tuple(int(name) for name in chosen))

    def put(self, task: Task, shape: Shape, place: Place, sign: int = 1) -> None:
        self._used[list(place.nodes), place.start : place.start + shape.length] += sign * task.cpus


Order = Callable[[Task], float]
ORDERS: tuple[Order, ...] = (
    lambda task: -task.rent_usd / task.work,
    lambda task: -task.rent_usd,
    lambda task: task.due_s - task.run_s,
    lambda task: task.due_s,
    lambda task: task.come_s,
    lambda task: -task.work,
)
"""The least goes first: dear for its room, dear, due to start, due to end, early, large."""


class Search:
    """``active``: those whose places may change; ``places``: of those that stay here, so far."""

    def __init__(self, tasks: Sequence[Task], nodes: int, threads: int, step_s: float, seed: int) -> None:
        self._tasks, self._chance = tasks, random.Random(seed)
        self._dice = np.random.default_rng(seed)
        begin_s = min(task.come_s for task in tasks)
        self._shapes = [shape_of(task, begin_s, step_s) for task in tasks]
        self._begins = np.array([shape.low for shape in self._shapes])
        self._ends = np.array([shape.high + shape.length for shape in self._shapes])
        self._windows = self._begins.copy(), self._ends.copy()
        self._size = nodes, threads, max(0, int(self._ends.max())) + 1
        self._mean_usd = sum(task.rent_usd for task in tasks) / len(tasks)
        self.active = list(range(len(tasks)))
        self._empty()

    def begin(self) -> None:
        """The best of one plan for each of `ORDERS`."""
        best: dict[int, Place] = min(map(self._simple, ORDERS), key=self._usd)
        self._empty()
        self._put(best)

    @property
    def usd(self) -> float:
        return self._usd(self.places)

    def _usd(self, places: Mapping[int, Place]) -> float:
        return sum(task.rent_usd for number, task in enumerate(self._tasks) if number not in places)

    def _empty(self) -> None:
        self._lab = Lab(*self._size)
        self.places: dict[int, Place] = {}

    def _simple(self, order: Order) -> dict[int, Place]:
        self._empty()
        self._fill(sorted(range(len(self._tasks)), key=lambda number: order(self._tasks[number])))
        return self.places

    def step(self, warmth: float) -> float:
        """Some places are dealt anew; how much dearer the plan then is. ``warmth`` falls from 1 to 0."""
        rented = [number for number in self.active if number not in self.places]
        if not rented:
            return 0.0
        around = self._chance.choice(rented)
        moved = self._near(around)
        before = {number: self.places[number] for number in moved if number in self.places}
        self._clear(before)
        self._fill(self._dealt(moved, around))
        after = {number: self.places[number] for number in moved if number in self.places}
        dearer = sum(self._tasks[number].rent_usd for number in before)
        dearer -= sum(self._tasks[number].rent_usd for number in after)
        if dearer > warmth * WARMTH * self._mean_usd * self._chance.expovariate(1.0):
            self._clear(after)
            self._put(before)
            return 0.0
        return dearer

    def _near(self, around: int) -> list[int]:
        """This one, and those that stand nearest to some moment it might run at; who is rented for stands anywhere
        between its submit and its deadline."""
        moment = self._chance.uniform(self._windows[0][around], self._windows[1][around])
        able = np.array(self.active)
        far = np.maximum(0.0, np.maximum(self._begins[able] - moment, moment - self._ends[able]))
        far = (far + 10.0) * self._dice.uniform(0.2, 1.0, len(far))
        far[able == around] = -1.0
        number = min(len(far), 1 + self._chance.randint(1, MOST_MOVED))
        return [int(one) for one in able[np.argpartition(far, number - 1)[:number]]]

    def _dealt(self, moved: Sequence[int], around: int) -> list[int]:
        order, tasks = self._chance.choice(ORDERS), self._tasks
        first = around if self._chance.random() < 0.5 else None
        noise = {number: self._chance.lognormvariate(0.0, 0.5) for number in moved}
        least = min(order(tasks[number]) for number in moved)
        return sorted(moved, key=lambda one: (one != first, (order(tasks[one]) - least) * noise[one]))

    def _fill(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            place = self._lab.room(self._tasks[number], self._shapes[number])
            if place is not None:
                self._put({number: place})

    def _put(self, places: Mapping[int, Place]) -> None:
        for number, place in places.items():
            self._lab.put(self._tasks[number], self._shapes[number], place)
            self.places[number] = place
            self._begins[number], self._ends[number] = place.start, place.start + self._shapes[number].length

    def _clear(self, places: Mapping[int, Place]) -> None:
        for number, place in places.items():
            self._lab.put(self._tasks[number], self._shapes[number], place, -1)
            del self.places[number]
            self._begins[number], self._ends[number] = (edge[number] for edge in self._windows)


def planned(
    tasks: Sequence[Task], nodes: int, threads: int, step_s: float, *, rounds: int, seed: int = 1
) -> OfflinePlan:
    """The cheapest plan that so many rounds come upon, all of whose jobs end in time. ``step_s``: of its starts."""
    search = Search(tasks, nodes, threads, step_s, seed)
    search.begin()
    usd = search.usd
    best, least = dict(search.places), usd
    for number in range(rounds):
        usd += search.step(1.0 - number / rounds)
        if usd < least - 1e-9:
            best, least = dict(search.places), usd
        if len(best) == len(tasks):
            break
    return OfflinePlan(best, sum(task.rent_usd for number, task in enumerate(tasks) if number not in best))
