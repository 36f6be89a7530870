"""Whether a job that could start on one kind of device rather waits for a better one, and how long that may take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from beowulf.scheduler.answers import RESOURCES, Refusal
from beowulf.scheduler.choosing import Choices, Option
from beowulf.scheduler.estimates import end_of
from beowulf.scheduler.future import SOON_S
from beowulf.scheduler.gang import Gang
from beowulf.scheduler.policies import PLACEMENTS
from beowulf.scheduler.promises import Promises
from beowulf.scheduler.request import Request
from beowulf.scheduler.state import State
from beowulf.scheduler.wording import span

NEVER = float("inf")


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
    """For one plan. Who waits for a kind lengthens the wait of everybody behind."""

    def __init__(self, state: State, promises: Promises, choices: Choices, latest_first: bool, now: float) -> None:
        self._state, self._promises, self._choices, self._now = state, promises, choices, now
        self._latest_first = latest_first
        self._waits = PLACEMENTS[state.rules.placement].waits
        self._openings: dict[Request, float] = {}
        self._queued: dict[str, float] = {}  # by kind: seconds until those before have had their turn
        self._late: dict[str, float] | None = None

    def chosen(self, options: Sequence[Option], free: tuple[Option, Gang] | None) -> Chosen:
        """``options`` the best first; ``free`` the first of them that can start now."""
        if options[0].prospect is None or (free is not None and not self._may_wait(options[0])):
            return Chosen(free[0], free[1], 0.0) if free else Chosen(options[0])
        better = options[: options.index(free[0])] if free else options
        starts = [(option, self._start_s(option)) for option in better]
        known = [(option, start_s) for option, start_s in starts if start_s < NEVER]
        if not known:
            return Chosen(free[0], free[1], 0.0) if free else Chosen(options[0])
        option, start_s = min(known, key=lambda one: (self._choices.score(*one), one[0].device))
        if free is not None and self._choices.score(option, start_s) >= self._choices.score(free[0], 0.0):
            return Chosen(free[0], free[1], 0.0)
        self._queue(option)
        return Chosen(option, None, start_s, free[0] if free else None)

    def given(self, device: str) -> None:
        """Something was started or promised on this kind ("": on any)."""
        kinds = self._openings
        self._openings = {one: at for one, at in kinds.items() if device and device not in _kinds(one)}

    def _may_wait(self, option: Option) -> bool:
        return self._waits and option.prospect is not None and option.prospect.known

    def _start_s(self, option: Option) -> float:
        request = option.request
        if request not in self._openings:
            found = self._promises.soonest(request, option.length_s, self._latest_first)
            self._openings[request] = found.at - self._now if found else NEVER
        start_s = self._openings[request]
        late_s = self._lateness().get(option.device, 0.0) if start_s <= SOON_S else 0.0
        return start_s + late_s + self._queued.get(option.device, 0.0)

    def _queue(self, option: Option) -> None:
        there, number = option.prospect, self._state.devices.get(option.device, 0)
        if there is not None and there.known and number:
            before_s = self._queued.get(option.device, 0.0)
            self._queued[option.device] = before_s + there.length_s * option.units / number

    def _lateness(self) -> dict[str, float]:
        """By kind: what outlives its estimate is expected to go on for as long again."""
        if self._late is None:
            self._late = {}
            jobs = self._state.snapshot.jobs
            for job in map(jobs.__getitem__, self._state.snapshot.active):
                attempt = job.attempt
                if attempt is not None and attempt.ending is None:
                    late_s = self._now - end_of(job, attempt, self._state.history)
                    device = attempt.allocation.device
                    self._late[device] = max(self._late.get(device, 0.0), late_s)
        return self._late


def _kinds(request: Request) -> tuple[str, ...]:
    return request.resources.gpu_kinds or (request.cpu_model,)
