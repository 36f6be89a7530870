"""The lab's own history (``beowulf events --json``, one event per line) as a trace, and the cluster it ran on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from beowulf.model import event as ev
from beowulf.model.allocation import Allocation
from beowulf.model.apply import apply
from beowulf.model.codec import decode_event
from beowulf.model.errors import BadInput, IllegalMove
from beowulf.model.job import Attempt, Job, Result
from beowulf.model.market import Accelerator
from beowulf.model.node import NodeState
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler.throughput import Family, believed, family_of, pace, points_of, rates_of, speeds_of
from beowulf.sim.trace import Trace, TraceJob


def read_history(
    text: str, *, name: str, accelerators: Mapping[str, Accelerator] | None = None
) -> tuple[Trace, Snapshot]:
    """Jobs that ran to an end of their own, and all nodes, up. Raises `BadInput` with the line.

    How fast jobs are on other GPUs is what their families did there, else as `nodes bench` or ``accelerators`` compare
    them. A job that was ended by a limit, a person or a lost node is left out: how long it would have run nobody knows.
    """
    snapshot = Snapshot()
    for number, line in enumerate(text.split("\n"), 1):  # what a job is called may hold other ends of lines
        if line.strip():
            snapshot = _after(snapshot, _event(line, f"{name}:{number}:1"), f"{name}:{number}:1")
    left_out: Counter[str] = Counter()
    jobs, faster = [], _Faster(snapshot, accelerators or {})
    for job in sorted(snapshot.jobs.values(), key=lambda job: (job.submitted_at, job.number, job.array_index or 0)):
        ran = job.attempt
        if job.result not in (Result.COMPLETED, Result.FAILED) or ran is None or not ran.started_at:
            left_out["did not run to an end of its own"] += 1
            continue
        spec = replace(job.spec, dependencies=(), nodelist=_known(job.spec.nodelist, snapshot))
        kept = [one for one in job.attempts if one is ran or one.ending is Result.RESIZED]  # what it went on from
        gains = faster.of(job, ran.allocation)
        jobs.append(TraceJob(job.submitted_at, sum(map(_run_s, kept)), spec, job.owner, faster=gains))
    nodes = {
        one.id: replace(one, state=NodeState.UP, drained=False) for one in snapshot.nodes.values() if not one.same_as
    }
    return Trace(tuple(jobs), left_out), Snapshot(nodes=Snapshot().nodes.update(nodes), generations=len(nodes))


class _Faster:
    """How many times as fast a job is on each kind of GPU as on those it had."""

    def __init__(self, snapshot: Snapshot, accelerators: Mapping[str, Accelerator]) -> None:
        nodes = snapshot.nodes.values()
        self._kinds = {*accelerators, *(gpu.kind for node in nodes for gpu in node.facts.gpus)}
        self._speeds = believed(speeds_of(nodes), self._kinds, accelerators)
        self._rates = rates_of(snapshot.jobs.values())
        self._known: dict[tuple[Family, str, int], dict[str, float]] = {}

    def of(self, job: Job, there: Allocation) -> dict[str, float]:
        if not job.spec.resources.gpus or not there.device:
            return {}
        key = family_of(job.spec, job.owner), there.device, there.world_size
        if key not in self._known:
            self._known[key] = self._gains(*key)
        return self._known[key]

    def _gains(self, family: Family, device: str, ranks: int) -> dict[str, float]:
        points = points_of(self._rates, {}, family)
        here = pace(points, self._speeds, device, ranks)
        if here:
            found = {kind: (pace(points, self._speeds, kind, ranks) or 0.0) / here for kind in self._kinds}
        else:
            here = self._speeds.get(device, 0.0)
            found = {kind: self._speeds.get(kind, 0.0) / here for kind in self._kinds if here}
        return {kind: times for kind, times in found.items() if times}


def _event(line: str, where: str) -> ev.Event:
    try:
        value: dict[str, Any] = json.loads(line)
        return decode_event(value["kind"], json.dumps(value["body"]))
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"is no event: {str(error).splitlines()[0]}", where=where) from None


def _after(snapshot: Snapshot, event: ev.Event, where: str) -> Snapshot:
    try:
        return apply(snapshot, event)
    except (KeyError, IllegalMove) as error:
        said = f"does not follow from the events before it: {type(event).__name__}, {error}"
        raise BadInput(said, where=where, hint="beowulf events --json prints all of them") from None


def _run_s(attempt: Attempt) -> float:
    last = max((done.at for done in attempt.exits), default=attempt.ended_at)
    return max(0.0, last - (attempt.started_at or last))


def _known(names: tuple[str, ...], snapshot: Snapshot) -> tuple[str, ...]:
    return tuple(name for name in names if name in snapshot.nodes)
