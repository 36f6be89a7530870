"""Who waits in a replay without plans, and in which order the policy would have them looked at.

Jobs of one account that ask for the same stand in one line, and only its first matters, as in the scheduler's queue.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import TypeAlias

from beowulf.model.job import JobSpec
from beowulf.model.rules import Rules
from beowulf.scheduler import POLICIES, Policy
from beowulf.scheduler.queueing import size_of, standing
from beowulf.scheduler.usage import NOTHING, Account, Used, dues, fair_shares, grown
from beowulf.sim.trace import TraceJob

NO_LIMIT = sys.maxsize
NEAR = 1e-9  # steady ranks nearer than this may be the other way round once they are worked out


@dataclass(slots=True, eq=False)
class Line:
    """``width``: places that each of its jobs asks for; ``length_s``: its limit and its grace."""

    key: Hashable
    account: Account
    width: int
    length_s: float
    numbers: deque[int] = field(default_factory=deque)  # places in the trace
    size: float = 0.0  # `Standing.size`, once somebody asked for it


Turn: TypeAlias = tuple[float, int, Line]
"""(less than that of whoever comes later, first number, line)"""


class InLine:
    """First come, first served."""

    def __init__(self, jobs: Sequence[TraceJob]) -> None:
        self._jobs = jobs
        self._wide = any(job.spec.min_nodes > 1 for job in jobs)
        self._lines: dict[Hashable, Line] = {}
        self.most = NO_LIMIT  # whoever asks for more need not have its turn
        self.each = False  # whether all jobs of a line have their turn, though the first of them did not start

    def __bool__(self) -> bool:
        return bool(self._lines)

    def join(self, number: int) -> None:
        job = self._jobs[number]
        key = self._key(job.spec, job.owner)
        line = self._lines.get(key)
        if line is None:
            spec = job.spec
            length_s = spec.max_duration_s + spec.kill_grace_s
            line = self._lines[key] = Line(key, (spec.project, job.owner), spec.min_nodes, length_s)
            line.numbers.append(number)
            self._came(line)
        else:
            line.numbers.append(number)

    def take(self, line: Line) -> int:
        """Its first job, which waits no more."""
        number = line.numbers.popleft()
        if not line.numbers:
            del self._lines[line.key]
        return number

    def turns(self, now: float) -> Iterator[tuple[Line, int]]:
        """Each line with its first job when that is next; with the one behind it where that was taken, or `each` is."""
        self.most, self.each = NO_LIMIT, False
        heap = self._begin(now)
        heapify(heap)
        while heap:
            _, number, line = heappop(heap)
            for behind in self._behind(line):
                heappush(heap, self._turn(behind, behind.numbers[0]))
            if line.width > self.most:
                continue
            yield line, number
            place = line.numbers.index(number) + 1 if self.each else 0
            if len(line.numbers) > place and line.numbers[place] != number:
                heappush(heap, self._turn(line, line.numbers[place]))

    def started(self, number: int, now: float) -> None: ...

    def ended(self, number: int, start: float, now: float) -> None: ...

    def _key(self, spec: JobSpec, owner: str) -> Hashable:
        # Of jobs that all ask for one place, and whom nobody ranks, only the first can matter.
        return (spec.min_nodes, spec.max_duration_s + spec.kill_grace_s) if self._wide else ()

    def _came(self, line: Line) -> None: ...

    def _begin(self, now: float) -> list[Turn]:
        return [self._turn(line, line.numbers[0]) for line in self._lines.values()]

    def _behind(self, line: Line) -> Sequence[Line]:
        return ()

    def _turn(self, line: Line, number: int) -> Turn:
        return 0.0, number, line


class Ranked(InLine):
    """By the policy's rank, worked out anew at each moment, whosever a job is."""

    def __init__(self, jobs: Sequence[TraceJob], rules: Rules, threads: int, policy: Policy) -> None:
        super().__init__(jobs)
        assert policy.order is not None
        self._order, self._rules, self._threads = policy.order, rules, max(1, threads)
        self._service = rules.service("").weight
        self._now = 0.0

    def _key(self, spec: JobSpec, owner: str) -> Hashable:
        return spec.min_nodes, spec.max_duration_s + spec.kill_grace_s

    def _begin(self, now: float) -> list[Turn]:
        self._now = now
        return super()._begin(now)

    def _turn(self, line: Line, number: int) -> Turn:
        return -self._rank(line, number, self._now, 1.0), number, line

    def _rank(self, line: Line, number: int, now: float, fair: float) -> float:
        job = self._jobs[number]
        if not line.size:
            line.size = size_of(line.length_s, job.spec.resources.cpus * line.width / self._threads)
        waited = max(0.0, now - job.submitted_at)
        return self._order(standing(waited, fair, self._service, line.size, line.length_s, line.width, self._rules))


class Personal(Ranked):
    """By a rank that goes by what each account used. Use is charged as the scheduler does it."""

    def __init__(self, jobs: Sequence[TraceJob], rules: Rules, threads: int, policy: Policy) -> None:
        super().__init__(jobs, rules, threads, policy)
        self._usage: dict[Account, Used] = {}
        self._dues: dict[frozenset[Account], Mapping[Account, float]] = {}
        self._fair: Mapping[Account, float] = {}

    def started(self, number: int, now: float) -> None:
        job = self._jobs[number]
        rate = job.spec.resources.cpus * job.spec.min_nodes
        self._charge(job, Used(rate, rate * grown(now, self._rules.half_life_s), 0))

    def ended(self, number: int, start: float, now: float) -> None:
        job = self._jobs[number]
        rate = job.spec.resources.cpus * job.spec.min_nodes
        begun = rate * grown(start, self._rules.half_life_s)
        ended = rate * grown(max(now, start), self._rules.half_life_s)
        self._charge(job, Used(-rate, -begun, ended - begun))

    def _charge(self, job: TraceJob, used: Used) -> None:
        account = (job.spec.project, job.owner)
        charged = self._usage.get(account, NOTHING).plus(used)
        if charged != NOTHING:
            self._usage[account] = charged
        else:
            self._usage.pop(account, None)

    def _key(self, spec: JobSpec, owner: str) -> Hashable:
        return spec.project, owner, super()._key(spec, owner)

    def _begin(self, now: float) -> list[Turn]:
        self._judge({line.account for line in self._lines.values()}, now)
        return super()._begin(now)

    def _judge(self, accounts: Collection[Account], now: float) -> None:
        self._fair = fair_shares(self._usage, accounts, self._rules, now, self._known_dues)

    def _known_dues(self, accounts: frozenset[Account], rules: Rules) -> Mapping[Account, float]:
        found = self._dues.get(accounts)
        if found is None:
            found = self._dues[accounts] = dues(accounts, rules)
        return found

    def _turn(self, line: Line, number: int) -> Turn:
        return -self._rank(line, number, self._now, self._fair[line.account]), number, line


class Steady(Personal):
    """Where none overtakes another of its account: the others' ranks are worked out when they are next."""

    def __init__(self, jobs: Sequence[TraceJob], rules: Rules, threads: int, policy: Policy) -> None:
        super().__init__(jobs, rules, threads, policy)
        self._late = jobs[-1].submitted_at  # when all of them wait
        self._accounts: dict[Account, list[Turn]] = {}  # in their order, as of then
        self._entries: dict[Line, Turn] = {}
        self._moved: list[Line] = []
        self._shown: dict[Account, int] = {}  # so many of each account are in their turn

    def take(self, line: Line) -> int:
        self._moved.append(line)
        return super().take(line)

    def _came(self, line: Line) -> None:
        number = line.numbers[0]
        entry = self._entries[line] = (-self._rank(line, number, self._late, 1.0), number, line)
        insort(self._accounts.setdefault(line.account, []), entry)

    def _settle(self) -> None:
        for line in self._moved:
            entry = self._entries.pop(line, None)
            if entry is None:
                continue
            there = self._accounts[line.account]
            del there[bisect_left(there, entry)]
            if line.numbers:
                self._came(line)
            elif not there:
                del self._accounts[line.account]
        self._moved.clear()

    def _begin(self, now: float) -> list[Turn]:
        self._settle()
        self._now = now
        self._judge(self._accounts, now)
        self._shown = dict.fromkeys(self._accounts, 0)
        return [self._turn(line, line.numbers[0]) for account in self._accounts for line in self._next(account)]

    def _behind(self, line: Line) -> Sequence[Line]:
        return self._next(line.account)

    def _next(self, account: Account) -> list[Line]:
        """The account's next line, with those that are too near to it to tell apart by what was worked out before."""
        there, first = self._accounts[account], self._shown[account]
        while first < len(there) and there[first][2].width > self.most:
            first += 1
        last = first + 1
        while last < len(there) and there[last][0] - there[last - 1][0] < NEAR:
            last += 1
        self._shown[account] = last
        return [line for _, _, line in there[first:last]]


def in_line(jobs: Sequence[TraceJob], rules: Rules, threads: int) -> InLine:
    policy = POLICIES[rules.policy]
    if policy.order is None:
        return InLine(jobs)
    ranked = Ranked if not policy.personal else Steady if policy.steady else Personal
    return ranked(jobs, rules, threads, policy)
