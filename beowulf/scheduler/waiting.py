"""Why each job waits, as a mapping that finds the words only when it is asked: thousands wait, few are looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from beowulf.model.job import JobId
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler.answers import PRIORITY, Reason, Refusal
from beowulf.scheduler.lines import Key, Line, key_of, ticket_of


@dataclass(frozen=True, slots=True)
class Told:
    """What a line's jobs are told. A ``head`` is told the reason, and the others that it is ahead."""

    line: Line
    tickets: int  # so many of the line's jobs, counted from its end, wait
    reason: Callable[[], Reason]
    head: JobId = ""


class Waiting(Mapping[JobId, Reason]):
    """``others``: lines, each with how many of its jobs wait, which ``tell`` has an answer for."""

    def __init__(
        self,
        snapshot: Snapshot,
        told: Mapping[Key, Told],
        reserved: Mapping[JobId, Callable[[], Reason]],
        others: Sequence[tuple[Line, int]] = (),
        tell: Callable[[Line, int], Told] | None = None,
    ) -> None:
        self._snapshot = snapshot
        self._early = told
        self._reserved = reserved
        self._others, self._tell = others, tell
        self._known: dict[JobId | Key, Reason] = {}

    @cached_property
    def _told(self) -> Mapping[Key, Told]:
        if self._tell is None:
            return self._early
        return {**self._early, **{line.key: self._tell(line, number) for line, number in self._others}}

    def __getitem__(self, job_id: JobId) -> Reason:
        if job_id not in self._known:
            self._known[job_id] = self._found(job_id)
        return self._known[job_id]

    def _found(self, job_id: JobId) -> Reason:
        if job_id in self._reserved:
            return self._reserved[job_id]()
        job = self._snapshot.jobs.get(job_id)
        if job is None or job_id not in self._snapshot.pending:
            raise KeyError(job_id)
        key = key_of(job)
        told = self._told.get(key)
        if told is None or not told.tickets or ticket_of(job) < told.line.tickets[-told.tickets]:
            raise KeyError(job_id)
        if told.head and told.head != job_id:
            return Refusal(PRIORITY, f"behind job {told.head}, which waits for the same nodes")
        if key not in self._known:
            self._known[key] = told.reason()
        return self._known[key]

    def __iter__(self) -> Iterator[JobId]:
        yield from self._reserved
        for told in self._told.values():
            yield from (ticket[3] for ticket in _waiting(told))

    def __len__(self) -> int:
        early = sum(told.tickets for told in self._early.values())
        return len(self._reserved) + early + sum(number for _, number in self._others)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and dict(self) == dict(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(dict(self))


def _waiting(told: Told) -> tuple[tuple[float, int, int, JobId], ...]:
    return told.line.tickets[len(told.line.tickets) - told.tickets :]
