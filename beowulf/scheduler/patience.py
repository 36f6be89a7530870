"""Whether a job that could start on one kind of device rather waits for a better one, and how long that may take."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from beowulf.scheduler.answers import RESOURCES, Refusal
from beowulf.scheduler.choosing import Choices, Option
from beowulf.scheduler.estimates import end_of
from beowulf.scheduler.future import SOON_S
from beowulf.scheduler.gang import Gang
from beowulf.scheduler.policies import PLACEMENTS
from beowulf.scheduler.state import State
from beowulf.scheduler.wording import span

NEVER = float("inf")

Release: TypeAlias = tuple[float, bool, int]
"""(when, whether it should have been before, how many devices)"""

Opening: TypeAlias = Callable[[Option], float]


@dataclass(frozen=True, slots=True)
class Chosen:
    """``gang``: start with it now. Else the job waits for ``option``, and ``declined`` is what it could have had."""

    option: Option
    gang: Gang | None = None
    start_s: float = NEVER
    declined: Option | None = None

    def rather(self) -> Refusal:
        assert self.declined is not None
        words = f"{self.declined.device} is free, but on {self.option.device}, free in about {span(self.start_s)}"
        return Refusal(RESOURCES, f"{words}, it is better off")


class Patience:
    """For one plan. Waits are reckoned by numbers of devices alone: no gang is packed to find out.

    Who waits for a kind lengthens the wait of everybody behind.
    """

    def __init__(self, state: State, choices: Choices, now: float) -> None:
        self._state, self._choices, self._now = state, choices, now
        self._waits = PLACEMENTS[state.rules.placement].waits
        self._queued: dict[str, float] = {}  # by kind: seconds until those before have had their turn
        self._started: dict[str, list[Release]] = {}  # by this plan
        self._ends: dict[str, tuple[list[float], list[int]]] = {}
        self._running: dict[str, list[Release]] | None = None

    def chosen(
        self, options: Sequence[Option], free: tuple[Option, Gang] | None, opening_s: Opening | None = None
    ) -> Chosen:
        """``options`` the best first; ``free`` the first of them that can start now.

        ``opening_s`` gives the seconds until an option can be promised: without it, it is reckoned.
        """
        if options[0].prospect is None or (free is not None and not self._may_wait(options[0])):
            return Chosen(free[0], free[1], 0.0) if free else Chosen(options[0])
        better = options[: options.index(free[0])] if free else options
        start = partial(self._promised_s, opening_s) if opening_s else self._start_s
        starts = [(option, start(option)) for option in better]
        known = [(option, start_s) for option, start_s in starts if start_s < NEVER]
        if not known:
            return Chosen(free[0], free[1], 0.0) if free else Chosen(options[0])
        option, start_s = min(known, key=lambda one: (self._choices.score(*one), one[0].device))
        if free is not None and self._choices.score(option, start_s) >= self._choices.score(free[0], 0.0):
            return Chosen(free[0], free[1], 0.0)
        self._queue(option)
        return Chosen(option, None, start_s, free[0] if free else None)

    def started(self, option: Option) -> None:
        """The plan starts a job so; it is over when the option says."""
        self._started.setdefault(option.device, []).append((self._now + option.length_s, False, option.units))
        self._ends.pop(option.device, None)

    def _may_wait(self, option: Option) -> bool:
        return self._waits and option.prospect is not None and option.prospect.known

    def _promised_s(self, opening_s: Opening, option: Option) -> float:
        """What is past its end may be gone any moment, or else go on for as long again."""
        at_s = opening_s(option)
        return max(at_s, self._late_s(option.device)) if at_s <= SOON_S else at_s

    def _late_s(self, device: str) -> float:
        self._releases(device)
        assert self._running is not None
        return max((at - self._now for at, late, _ in self._running.get(device, ()) if late), default=0.0)

    def _start_s(self, option: Option) -> float:
        if option.device not in self._ends:
            self._ends[option.device] = self._releases(option.device)
        times, numbers = self._ends[option.device]
        # What is free now is not enough, or is promised to somebody: at least one more has to end.
        at = max(1, bisect_left(numbers, option.units))
        return times[at] - self._now + self._queued.get(option.device, 0.0) if at < len(times) else NEVER

    def _releases(self, device: str) -> tuple[list[float], list[int]]:
        """Moments, and how many devices are free from each on; the first is now."""
        if self._running is None:
            self._running = self._all_running()
        ends = sorted([*self._running.get(device, ()), *self._started.get(device, ())])
        free = self._state.devices.get(device, 0) - sum(units for _, _, units in ends)
        times, numbers = [self._now], [free]
        for at, _, units in ends:
            if at == NEVER:
                break
            times.append(at)
            numbers.append(numbers[-1] + units)
        return times, numbers

    def _all_running(self) -> dict[str, list[Release]]:
        """What outlives its estimate is expected to go on for as long again."""
        found: dict[str, list[Release]] = {}
        jobs = self._state.snapshot.jobs
        for job in map(jobs.__getitem__, self._state.snapshot.active):
            attempt = job.attempt
            if attempt is None or attempt.ended_at:
                continue
            end = end_of(job, attempt, self._state.history) if attempt.ending is None else self._now
            late_s = max(self._now - end, 0.0)
            shares = attempt.allocation.shares
            units = sum(len(share.gpus) or share.threads for share in shares)
            found.setdefault(attempt.allocation.device, []).append((max(end, self._now + late_s), late_s > 0, units))
        return found

    def _queue(self, option: Option) -> None:
        there, number = option.prospect, self._state.devices.get(option.device, 0)
        if there is not None and there.known and number:
            before_s = self._queued.get(option.device, 0.0)
            self._queued[option.device] = before_s + there.length_s * option.units / number
