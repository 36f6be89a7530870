"""Which kinds of device a job may choose from, and how long it takes on each.

An option is the job's request narrowed to one kind, so that a gang on it is of one pace. Everything else about it
(fit, claims, reservations) is as for any request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from beowulf.scheduler.estimates import UNKNOWN
from beowulf.scheduler.gang import Gang
from beowulf.scheduler.lines import Line
from beowulf.scheduler.paces import Paces
from beowulf.scheduler.policies import PLACEMENTS, Prospect
from beowulf.scheduler.prospects import Outlook
from beowulf.scheduler.request import Request
from beowulf.scheduler.state import State
from beowulf.scheduler.throughput import mixed_pace


@dataclass(frozen=True, slots=True)
class Option:
    """``length_s``: over by then, as far as its limit or an estimate says; ``prospect``: if it started now.

    ``device`` "" is any: nothing is known that would tell them apart.
    """

    request: Request
    length_s: float
    device: str = ""
    prospect: Prospect | None = None

    @property
    def units(self) -> int:
        """Devices of all its nodes: GPUs, or threads where it wants none."""
        return units_of(self.request)


class Choices:
    """The options of each line, for one plan."""

    def __init__(self, state: State, outlook: Outlook, paces: Paces) -> None:
        self._state, self._outlook, self._paces = state, outlook, paces
        self._score = PLACEMENTS[state.rules.placement].score
        self._narrowed: dict[tuple[Request, str], Request] = {}
        self._wanted: dict[bool, float] = {}

    def of(self, line: Line, request: Request, length_s: float, waited_s: float) -> list[Option]:
        """The best first, as if all were free; one of any device where nothing tells kinds apart.

        ``length_s``: how long it may run, by its limit or else as its kind did; inf: nobody knows.
        """
        paces = self._paces.of(line.spec, line.owner, request)
        options = [
            Option(narrowed, over_s, device, prospect)
            for device, prospect in self._prospects(line, request, paces, length_s, waited_s).items()
            if (over_s := _over_s(line, prospect, length_s)) is not None
            and self._outlook.possible(narrowed := self._on_device(request, device))
        ]
        if not options:
            return [Option(request, length_s)]
        return sorted(options, key=lambda option: (self.score(option, 0.0), option.device))

    def mixed(self, line: Line, options: Sequence[Option], request: Request, gang: Gang) -> Option | None:
        """The gang of unlike kinds as an option of its own; None where nobody knows how fast it would be."""
        like, kinds = options[0].prospect, self._kinds(gang)
        if like is None or not like.known or not line.left or len(set(kinds)) < 2:
            return None
        ranks = gang.allocation.world_size
        paces = [self._paces.at(line.spec, line.owner, kind, ranks) for kind in kinds]
        if not all(paces):
            return None
        length_s = line.left / mixed_pace([rate or 0.0 for rate in paces])
        hourly_usd = sum(self._state.rules.device_usd.get(kind, 0.0) for kind in kinds)
        prospect = like._replace(length_s=length_s, usd=hourly_usd * length_s / 3600.0)
        limit_s = line.spec.max_duration_s + line.spec.kill_grace_s if line.spec.max_duration_s else UNKNOWN
        over_s = _over_s(line, prospect, limit_s)
        return Option(request, over_s, "", prospect) if over_s is not None else None

    def _kinds(self, gang: Gang) -> list[str]:
        """Of each rank's device."""
        nodes, found = self._state.snapshot.nodes, []
        for share in gang.allocation.shares:
            cards = {gpu.index: gpu.kind for gpu in nodes[share.node].facts.gpus}
            for slot in share.ranks:
                found.append(cards[slot.gpus[0]] if slot.gpus else nodes[share.node].facts.cpu_model)
        return found

    def better(self, one: Option, other: Option) -> bool:
        """Of two that can start now."""
        return self.score(one, 0.0) < self.score(other, 0.0)

    def with_mixed(self, options: Sequence[Option], mixed: Option) -> list[Option]:
        """In its place among the others."""
        return sorted([*options, mixed], key=lambda option: self.score(option, 0.0))

    def score(self, option: Option, start_s: float) -> tuple[float, ...]:
        """By the placement's objective, less is better; never less for a later start."""
        assert option.prospect is not None
        return self._score(option.prospect._replace(start_s=start_s))

    def _on_device(self, request: Request, device: str) -> Request:
        key = (request, device)
        return self._narrowed.get(key) or self._narrowed.setdefault(key, on_device(request, device))

    def _prospects(
        self, line: Line, request: Request, paces: Mapping[str, float], length_s: float, waited_s: float
    ) -> dict[str, Prospect]:
        if not paces:
            return {}
        steps = line.left if self._paces.steps_known(line.spec, line.owner) else 0
        guess = 0.0 if line.spec.max_duration_s or length_s == UNKNOWN else length_s * median(paces.values())
        work = steps or guess
        lengths = {device: (work or 1.0) / rate for device, rate in paces.items()}
        number = self._state.devices
        share = sum(number.get(device, 0) / taken_s for device, taken_s in lengths.items())
        equal_s = sum(number.get(device, 0) for device in lengths) / share if share else UNKNOWN
        equal_s *= self._crowd(bool(request.resources.gpus))
        units = units_of(request)
        prices = self._state.rules.device_usd
        return {
            device: Prospect(
                0.0, taken_s, waited_s, equal_s, units * prices.get(device, 0.0) * taken_s / 3600.0, work > 0
            )
            for device, taken_s in lengths.items()
        }

    def _crowd(self, gpus: bool) -> float:
        """How many times over all GPUs (or threads) are wanted by who runs and who waits; at least once."""
        if gpus not in self._wanted:
            state, jobs = self._state, self._state.snapshot.jobs
            there = sum(number for kind, number in state.devices.items() if (kind in state.gpus) == gpus)
            running = [jobs[job_id].attempt for job_id in state.snapshot.active]
            shares = [share for one in running if one is not None for share in one.allocation.shares]
            held = sum(len(share.gpus) if gpus else share.threads for share in shares)
            lines = [line for line in state.lines.values() if bool(line.request.resources.gpus) == gpus]
            waiting = sum(len(line.tickets) * units_of(line.request) for line in lines)
            self._wanted[gpus] = max(1.0, (held + waiting) / max(1, there))
        return self._wanted[gpus]


def _over_s(line: Line, prospect: Prospect, length_s: float) -> float | None:
    """By when it is over there; None where its own limit would end it before it is done."""
    if not line.left or not prospect.known:
        return length_s
    needed = prospect.length_s + line.spec.kill_grace_s
    if line.spec.max_duration_s:
        return length_s if needed <= length_s else None
    return needed


def units_of(request: Request) -> int:
    return request.min_nodes * (request.resources.gpus or request.cpus)


def on_device(request: Request, device: str) -> Request:
    if request.resources.gpus:
        return replace(request, resources=replace(request.resources, gpu_kinds=(device,)))
    return replace(request, cpu_model=device)


def pace_of(line: Line, option: Option) -> float:
    """Steps/s of the line's jobs there; 0 where nobody knows how many they are, or how long they take."""
    there = option.prospect
    return line.left / there.length_s if line.left and there is not None and there.known else 0.0
