"""How many optimizer steps per second a family of jobs does on a kind of device: seen of it, told, or predicted.

What was seen is kept per (family, kind of device, ranks), so one more job changes one entry. Where nothing was seen,
the same kind with another number of ranks says something, and then another kind, by what `nodes bench` measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import log
from statistics import median
from typing import TypeAlias

from immutables import Map

from beowulf.model.job import Attempt, Job, JobSpec, Result
from beowulf.model.market import Accelerator
from beowulf.model.node import Node
from beowulf.split import Line, Refusal, share, slowest_s

Family: TypeAlias = tuple[str, str, str]
"""(name, user, launcher); only (family, "", "") where the job file names one."""

Place: TypeAlias = tuple[str, int]
"""(kind of device, ranks)"""

Seen: TypeAlias = tuple[float, str, float]
"""(when the attempt was placed, its tag, steps per second)"""

Rates: TypeAlias = Map[Family, Map[Place, tuple[Seen, ...]]]
Points: TypeAlias = Mapping[Place, float]

LAST = 5  # so many of the newest count
MICRO_BATCHES = 16  # of a rank in an even split: how finely a step is cut
SCALING = 0.85  # twice the ranks do 2^0.85 = 1.8 times the steps, where nobody saw it


def family_of(spec: JobSpec, owner: str) -> Family:
    return (spec.family, "", "") if spec.family else (spec.name, owner, spec.launcher.value)


def concerned(spec: JobSpec) -> bool:
    """Whether it matters which kind of device the job gets; the others stand in fewer lines of the queue."""
    return bool(spec.resources.gpus or spec.family or spec.steps)


def rates_of(jobs: Iterable[Job]) -> Rates:
    rates: Rates = Map()
    for job in jobs:
        if job.attempts:
            rates = relearnt(rates, None, job)
    return rates


def relearnt(rates: Rates, old: Job | None, new: Job | None) -> Rates:
    """With what ``new`` shows instead of what ``old`` showed; the order of learning makes no difference."""
    before, after = _shown(old), _shown(new)
    if before == after:
        return rates
    for place, seen in before:
        rates = _changed(rates, old, place, seen, False)
    for place, seen in after:
        rates = _changed(rates, new, place, seen, True)
    return rates


def _changed(rates: Rates, job: Job | None, place: Place, seen: Seen, comes: bool) -> Rates:
    assert job is not None
    family = family_of(job.spec, job.owner)
    places = rates.get(family, Map())
    there = tuple(one for one in places.get(place, ()) if one[1] != seen[1])
    there = tuple(sorted((*there, seen))) if comes else there
    places = places.set(place, there) if there else places.delete(place)
    return rates.set(family, places) if places else rates.delete(family)


def _shown(job: Job | None) -> list[tuple[Place, Seen]]:
    if job is None or not job.attempts or not concerned(job.spec):
        return []
    found = []
    for attempt in job.attempts:
        pace, allocation = _pace(job, attempt), attempt.allocation
        if pace and allocation.device:
            place = (allocation.device, allocation.world_size)
            found.append((place, (attempt.placed_at, f"{job.id}.{attempt.number}", pace)))
    return found


def _pace(job: Job, attempt: Attempt) -> float:
    """As its ranks reported; else, once it is done, by the steps it was handed in with."""
    if attempt.steps_per_s or not job.spec.steps or job.result is not Result.COMPLETED or attempt is not job.attempt:
        return attempt.steps_per_s
    return steps_left(job.spec, attempt.from_step) / max(1e-3, attempt.ended_at - attempt.started_at)


def steps_left(spec: JobSpec, from_step: int) -> int:
    """At least one: a job that came to its last step may have something to write."""
    return max(1, spec.steps - from_step) if spec.steps else 0


def points_of(rates: Rates, told: Mapping[str, Points], family: Family) -> Points:
    """All that is known of one family; what was seen here goes before what was told."""
    seen = {place: median(one[2] for one in those[-LAST:]) for place, those in rates.get(family, Map()).items()}
    return {**told.get(family[0], {}), **seen}


def pace(points: Points, speeds: Mapping[str, float], device: str, ranks: int) -> float | None:
    """Steps per second; 0: it cannot run there; None: nothing says."""
    exact = points.get((device, ranks))
    if exact is not None:
        return exact
    same = [(abs(log(ranks / other)), other) for kind, other in points if kind == device and points[kind, other] > 0]
    if same:
        _, nearest = min(same)
        return points[device, nearest] * float(ranks / nearest) ** SCALING  # type: ignore[no-any-return]
    if device not in speeds:
        return None
    kinds = {kind for (kind, _), rate in points.items() if kind in speeds and rate > 0}
    if not kinds:
        return None
    like = min(kinds, key=lambda kind: (abs(log(speeds[kind] / speeds[device])), kind))
    there = pace(points, speeds, like, ranks)
    return there * speeds[device] / speeds[like] if there else None


def mixed_pace(alone: Sequence[float]) -> float:
    """Steps/s of ranks of unlike kinds, each given at the pace of a whole gang of its kind, when they split every step
    as `beowulf.train` does: so that the slowest is done first."""
    total = MICRO_BATCHES * len(alone)
    lines = [Line(0.0, 1.0 / (rate * MICRO_BATCHES)) for rate in alone]
    counts = share(total, lines, (total,) * len(alone))
    assert not isinstance(counts, Refusal)
    return 1.0 / slowest_s(counts, lines)


def speeds_of(nodes: Iterable[Node]) -> Mapping[str, float]:
    """GFLOPS by kind of device, as `nodes bench` measured it; of the package most devices were measured with."""
    found: dict[str, dict[str, list[float]]] = {}
    for node in nodes:
        if not node.profile.devices:
            continue
        cards = {f"gpu {gpu.index}": gpu.kind for gpu in node.facts.gpus}
        for speed in node.profile.devices:
            device = node.facts.cpu_model if speed.device == "cpu" else cards.get(speed.device, "")
            if device and speed.gflops > 0:
                found.setdefault(speed.package, {}).setdefault(device, []).append(speed.gflops)
    if not found:
        return {}
    package = max(found, key=lambda name: (sum(map(len, found[name].values())), name))
    return {device: median(values) for device, values in sorted(found[package].items())}


def believed(
    speeds: Mapping[str, float], kinds: Iterable[str], accelerators: Mapping[str, Accelerator]
) -> Mapping[str, float]:
    """``speeds``, and of the ``kinds`` nobody measured what their data sheets say, in proportion to those that were."""
    known = {kind: accelerators[kind].speed for kind in (*kinds, *speeds) if kind in accelerators}
    ratios = [speed / known[kind] for kind, speed in speeds.items() if known.get(kind)]
    if speeds and not ratios:
        return speeds
    scale = median(ratios) if ratios else 1.0
    guessed = {kind: scale * speed for kind, speed in sorted(known.items()) if speed and kind not in speeds}
    return {**speeds, **guessed}


def devices_of(nodes: Iterable[Node]) -> Mapping[str, int]:
    """How many GPUs of each kind, and threads of each kind of processor, are up."""
    found: dict[str, int] = {}
    for node in nodes:
        if node.schedulable:
            if node.facts.cpu_model:
                found[node.facts.cpu_model] = found.get(node.facts.cpu_model, 0) + len(node.usable_cpus)
            for gpu in node.facts.gpus:
                if gpu.healthy:
                    found[gpu.kind] = found.get(gpu.kind, 0) + 1
    return dict(sorted(found.items()))
