"""The lab's own history (``beowulf events --json``, one event per line) as a trace, and the cluster it ran on."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

from beowulf.model import event as ev
from beowulf.model.apply import apply
from beowulf.model.codec import decode_event
from beowulf.model.errors import BadInput
from beowulf.model.job import Attempt, Result
from beowulf.model.node import NodeState
from beowulf.model.snapshot import Snapshot
from beowulf.sim.trace import Trace, TraceJob


def read_history(text: str, *, name: str) -> tuple[Trace, Snapshot]:
    """Jobs that ran to an end of their own, and all nodes, up. Raises `BadInput` with the line.

    A job that was ended by a limit, a person or a lost node is left out: how long it would have run nobody knows.
    """
    snapshot = Snapshot()
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            snapshot = apply(snapshot, _event(line, f"{name}:{number}:1"))
    left_out: Counter[str] = Counter()
    jobs = []
    for job in sorted(snapshot.jobs.values(), key=lambda job: (job.submitted_at, job.number, job.array_index or 0)):
        ran = job.attempt
        if job.result not in (Result.COMPLETED, Result.FAILED) or ran is None or not ran.started_at:
            left_out["did not run to an end of its own"] += 1
            continue
        spec = replace(job.spec, dependencies=(), nodelist=_known(job.spec.nodelist, snapshot))
        kept = [one for one in job.attempts if one is ran or one.ending is Result.RESIZED]  # what it went on from
        jobs.append(TraceJob(job.submitted_at, sum(map(_run_s, kept)), spec, job.owner))
    nodes = {one.id: replace(one, state=NodeState.UP, drained=False) for one in snapshot.nodes.values()}
    return Trace(tuple(jobs), left_out), Snapshot(nodes=Snapshot().nodes.update(nodes), generations=len(nodes))


def _event(line: str, where: str) -> ev.Event:
    try:
        value: dict[str, Any] = json.loads(line)
        return decode_event(value["kind"], json.dumps(value["body"]))
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"is no event: {str(error).splitlines()[0]}", where=where) from None


def _run_s(attempt: Attempt) -> float:
    last = max((done.at for done in attempt.exits), default=attempt.ended_at)
    return max(0.0, last - (attempt.started_at or last))


def _known(names: tuple[str, ...], snapshot: Snapshot) -> tuple[str, ...]:
    return tuple(name for name in names if name in snapshot.nodes)
