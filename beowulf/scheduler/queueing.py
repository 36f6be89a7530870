"""The queue's order: lines are merged by the standing of their first jobs, as the policy judges it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from typing import TypeAlias

from beowulf.model.job import Job
from beowulf.model.rules import Rules
from beowulf.scheduler.estimates import expected_s, length_s
from beowulf.scheduler.lines import Line, Ticket
from beowulf.scheduler.paces import Paces
from beowulf.scheduler.policies import Policy, Standing
from beowulf.scheduler.state import State
from beowulf.scheduler.turns import Need, Place, exchanged, need_of, tariff_of
from beowulf.scheduler.usage import Account, fair_shares

Turn: TypeAlias = tuple[Place, int, Line]
"""(place in the queue, position in the line, line): the smallest is next."""


class Queue:
    def __init__(self, state: State, now: float, policy: Policy) -> None:
        self._state, self._now, self._order = state, now, policy.order
        rules = self._rules = state.rules
        self._fair: dict[Account, float] = {}
        if policy.order is not None:
            accounts = {line.account for line in state.lines.values()}
            self._fair = fair_shares(state.usage, accounts, rules, now)
        self._threads = max(1, state.threads)
        self.paces = Paces(state)
        self._at: dict[int, int] = {}  # by the line's identity: how far it has come
        self._lengths: dict[int, float] = {}
        self._services: dict[str, float] = {}
        exchange = policy.by_deadline and bool(rules.market.offers)
        self._exchanged = self._turns_taken() if exchange else {}
        self._turns: list[Turn] = [self._turn(line, 0) for line in state.lines.values()]
        heapify(self._turns)

    def _turns_taken(self) -> dict[Ticket, Place]:
        market, history = self._rules.market, self._state.history
        tariff, node_threads = tariff_of(market.offers), self._threads // max(1, len(self._state.order))

        def need(line: Line) -> Need:
            run_s = expected_s(line.spec, line.owner, history)
            return need_of(line, self.length_s(line), run_s, tariff, market, node_threads)

        return exchanged(tuple(self._state.lines.values()), self._place, need, market, self._now, self._threads)

    def __iter__(self) -> Iterator[tuple[Line, Ticket]]:
        while self._turns:
            turn = heappop(self._turns)
            _, at, line = turn
            self._at[id(line)] = at
            yield line, line.tickets[at]

    def next(self, line: Line, ticket: Ticket) -> None:
        """The line's next job may come, too."""
        at = self._at[id(line)] + 1
        if at < len(line.tickets):
            heappush(self._turns, self._turn(line, at))

    def left(self, line: Line) -> int:
        """How many that is."""
        return len(line.tickets) - self._at[id(line)]

    def rest(self, line: Line, ticket: Ticket) -> tuple[Ticket, ...]:
        """``ticket`` and everybody behind it in its line."""
        return line.tickets[self._at[id(line)] :]

    def dismiss(self, who: Callable[[Line], bool]) -> list[tuple[Line, int]]:
        """Lines that shall not come any more, each with how many of its jobs had not come yet."""
        gone: list[tuple[Line, int]] = []
        left: list[Turn] = []
        for turn in self._turns:
            _, at, line = turn
            if who(line):
                gone.append((line, len(line.tickets) - at))
            else:
                left.append(turn)
        heapify(left)
        self._turns = left
        return gone

    def length_s(self, line: Line) -> float:
        """How long a job of the line runs, its grace included: its limit or the estimate; inf where nobody knows."""
        known = self._lengths.get(id(line))
        if known is None:
            known = self._lengths[id(line)] = length_s(line.spec, line.owner, self._state.history)
        return known

    def likely_s(self, line: Line) -> float:
        """How long it takes if it gets the best of devices; as `length_s` where no pace is known."""
        return min(self.length_s(line), self.paces.length_s(line.spec, line.owner, line.request, line.left))

    def _turn(self, line: Line, at: int) -> Turn:
        return self._exchanged.get(line.tickets[at]) or self._place(line, at), at, line

    def _place(self, line: Line, at: int) -> Place:
        submitted, number, index, _ = line.tickets[at]
        rank = self._order(self.standing(line, submitted)) if self._order is not None else 0.0
        return -line.spec.priority, not line.resuming, -rank, submitted, number, index

    def standing(self, line: Line, submitted: float) -> Standing:
        request = line.request
        waited, length_s = max(0.0, self._now - submitted), self.likely_s(line)
        part = max(1, request.cpus) * request.min_nodes / self._threads
        fair, service = self._fair.get(line.account, 1.0), self._service(line.spec.service_class)
        size = size_of(length_s, part)
        return standing(waited, fair, service, size, length_s, request.min_nodes, self._rules)

    def _service(self, name: str) -> float:
        known = self._services.get(name)
        if known is None:
            known = self._services[name] = self._rules.service(name).weight
        return known


def size_of(length_s: float, part: float) -> float:
    """`Standing.size` of a job that asks for such a part of the cluster's threads."""
    return 1.0 / (1.0 + length_s / 3600.0 * part)


def standing(
    waited: float, fair_share: float, service: float, size: float, length_s: float, nodes: int, rules: Rules
) -> Standing:
    return Standing(waited, waited / rules.age_full_s, fair_share, size, service, length_s, nodes, rules.weights)


def in_order(state: State, now: float, policy: Policy) -> list[Job]:
    """Everybody who waits, first the one who is next."""
    queue = Queue(state, now, policy)
    found = []
    for line, ticket in queue:
        found.append(state.snapshot.jobs[ticket[3]])
        queue.next(line, ticket)
    return found
