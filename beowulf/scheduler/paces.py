"""How fast jobs go on the kinds of device there are: by what their family showed, or else by measured speeds."""

from __future__ import annotations

from statistics import median

from beowulf.model.job import JobSpec, Resources
from beowulf.scheduler.estimates import UNKNOWN
from beowulf.scheduler.policies import BLIND
from beowulf.scheduler.request import Request
from beowulf.scheduler.state import State
from beowulf.scheduler.throughput import Family, Points, concerned, family_of, pace, points_of


class Paces:
    """What one state knows of its jobs' paces, each worked out once."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._points: dict[Family, Points] = {}
        self._found: dict[tuple[Family, Request], dict[str, float]] = {}

    def of(self, spec: JobSpec, owner: str, request: Request) -> dict[str, float]:
        """By kind of device that the request takes; empty where nothing is known. In steps/s if `steps_known`."""
        if self._state.rules.placement == BLIND or not concerned(spec):
            return {}
        key = (family_of(spec, owner), request)
        if key not in self._found:
            self._found[key] = self._paces(key[0], request)
        return self._found[key]

    def at(self, spec: JobSpec, owner: str, device: str, ranks: int) -> float | None:
        """Steps/s of a whole gang of that kind; None where nothing says."""
        return pace(self._known(family_of(spec, owner)), self._state.speeds, device, ranks)

    def length_s(self, spec: JobSpec, owner: str, request: Request, left: int) -> float:
        """At best: on the kind that is the fastest; inf where no pace is known, or not how many steps are left."""
        paces = self.of(spec, owner, request) if left and self.steps_known(spec, owner) else {}
        return left / max(paces.values()) if paces else UNKNOWN

    def steps_known(self, spec: JobSpec, owner: str) -> bool:
        return any(rate > 0 for rate in self._known(family_of(spec, owner)).values())

    def _known(self, family: Family) -> Points:
        if family not in self._points:
            self._points[family] = points_of(self._state.rates, self._state.rules.told, family)
        return self._points[family]

    def _paces(self, family: Family, request: Request) -> dict[str, float]:
        points, speeds = self._known(family), self._state.speeds
        kinds = self.kinds(request.resources)
        ranks = {kind: request.procs * self._nodes(request, kind) for kind in kinds}
        if any(rate > 0 for rate in points.values()):
            found = {kind: pace(points, speeds, kind, ranks[kind]) for kind in kinds}
        else:
            found = {kind: speeds.get(kind) for kind in kinds}
        known = [rate for rate in found.values() if rate]
        if not known:
            return {}
        # A kind nobody has tried yet counts as a middling one: else it would never be tried.
        usual = median(known)
        rates = {kind: usual if rate is None else rate for kind, rate in found.items()}
        return {kind: rate for kind, rate in rates.items() if rate > 0}

    def _nodes(self, request: Request, kind: str) -> int:
        """As many as it takes at most, and as devices of the kind make."""
        there = self._state.devices.get(kind, 0) // (request.resources.gpus or request.cpus)
        return min(request.max_nodes, max(request.min_nodes, there))

    def kinds(self, resources: Resources) -> list[str]:
        """That it takes, whatever is known of them."""
        wanted = {kind.lower() for kind in resources.gpu_kinds}
        if resources.gpus:
            return [kind for kind in self._state.gpus if not wanted or kind.lower() in wanted]
        return [kind for kind in self._state.devices if kind not in self._state.gpus]
