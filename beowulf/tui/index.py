"""Jobs in the order that lists show them, and who is on which node. A change costs only itself."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

Json: TypeAlias = Mapping[str, Any]
Place: TypeAlias = tuple[int, float, int, int, str]  # (rank of its state, moment, number, index of the array, id)

ORDER = ("RUNNING", "COMPLETING", "CONFIGURING", "PENDING")
PLACED = frozenset({"CONFIGURING", "RUNNING", "COMPLETING"})
MOST_ENDED = 2000  # those that ended first are forgotten: a screen stays open for weeks


class JobIndex:
    """What runs, then what waits in the order it came, then what has ended, newest first."""

    def __init__(self, jobs: Iterable[Json] = ()) -> None:
        self.jobs = {str(job["id"]): job for job in jobs}
        self.states = Counter(str(job.get("state")) for job in self.jobs.values())
        self._sorted = sorted(map(place, self.jobs.values()))
        self._nodes: dict[str, dict[str, None]] = {}
        self._keys: list[str] | None = None
        for job in self.jobs.values():
            self._join(job)

    def put(self, job: Json) -> None:
        key = str(job["id"])
        if key in self.jobs:
            self._remove(self.jobs[key])
        self.jobs[key] = job
        insort(self._sorted, place(job))
        self.states[str(job.get("state"))] += 1
        self._join(job)
        self._keys = None
        if self.states["ENDED"] > MOST_ENDED:
            self._remove(self.jobs.pop(self._sorted[-1][-1]))

    @property
    def keys(self) -> Sequence[str]:
        if self._keys is None:
            self._keys = [key for *_, key in self._sorted]
        return self._keys

    def in_state(self, state: str) -> list[str]:
        """``state``: one of `ORDER`."""
        rank = ORDER.index(state)
        first = bisect_left(self._sorted, rank, key=_rank)
        return [key for *_, key in self._sorted[first : bisect_right(self._sorted, rank, key=_rank)]]

    def on_node(self, node: str) -> list[str]:
        """Who has a part of it: jobs that are placed and have not ended."""
        return list(self._nodes.get(node, ()))

    def _join(self, job: Json) -> None:
        for node in _nodes(job):
            self._nodes.setdefault(node, {})[str(job["id"])] = None

    def _remove(self, job: Json) -> None:
        del self._sorted[bisect_left(self._sorted, place(job))]
        self.states[str(job.get("state"))] -= 1
        for node in _nodes(job):
            self._nodes[node].pop(str(job["id"]), None)


def place(job: Json) -> Place:
    state = str(job.get("state", ""))
    ended = state not in ORDER
    moment = -float(job.get("ended_at") or 0.0) if ended else float(job.get("submitted_at") or 0.0)
    rank = len(ORDER) if ended else ORDER.index(state)
    turn = -1 if ended else 1
    return rank, moment, turn * int(job.get("number") or 0), int(job.get("array_index") or 0), str(job["id"])


def _rank(found: Place) -> int:
    return found[0]


def _nodes(job: Json) -> list[str]:
    return [str(node) for node in job.get("nodes") or ()] if job.get("state") in PLACED else []
