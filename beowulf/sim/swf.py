"""Standard Workload Format 2.2 (the Parallel Workloads Archive): one job per line, eighteen numbers, -1: not known."""

from __future__ import annotations

import math
from collections import Counter

from beowulf.model.errors import BadInput
from beowulf.model.job import JobSpec
from beowulf.model.snapshot import Snapshot
from beowulf.sim.trace import Trace, TraceJob, of_processors

SUBMIT, RUN, ALLOCATED, REQUESTED, LIMIT, USER, EXECUTABLE, QUEUE = 1, 3, 4, 7, 8, 11, 13, 14
FIELDS = 18


def read_swf(text: str, cluster: Snapshot, *, name: str) -> Trace:
    """Raises `BadInput` with the line. A job's memory is not replayed: traces count it in ways of their own."""
    jobs: list[TraceJob] = []
    left_out: Counter[str] = Counter()
    specs: dict[tuple[int, float, int, int], JobSpec] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith(";"):
            continue
        field = _numbers(line, f"{name}:{number}:1")
        processors = int(field[REQUESTED] if field[REQUESTED] > 0 else field[ALLOCATED])
        if field[RUN] < 0 or processors <= 0:
            left_out["never ran"] += 1
            continue
        limit = max(0.0, field[LIMIT])
        key = (processors, limit, int(field[EXECUTABLE]), int(field[QUEUE]))
        if key not in specs:
            program = f"program-{key[2]}" if key[2] > 0 else "job"
            plain = JobSpec(program, "true", max_duration_s=limit, kill_grace_s=0.0, queue=f"queue-{max(0, key[3])}")
            specs[key] = of_processors(plain, processors, cluster)
        run_s = min(field[RUN], limit) if limit else field[RUN]
        jobs.append(TraceJob(field[SUBMIT], run_s, specs[key], f"user-{max(0, int(field[USER]))}"))
    jobs.sort(key=lambda job: job.submitted_at)
    return Trace(tuple(jobs), left_out)


def _numbers(line: str, where: str) -> list[float]:
    words = line.split()
    if len(words) < FIELDS:
        raise BadInput(f"holds {len(words)} numbers, not {FIELDS}", where=where, hint="is it a trace in SWF 2.2?")
    try:
        found = [float(word) for word in words[:FIELDS]]
    except ValueError as error:
        raise BadInput(f"holds something that is no number: {error}", where=where) from None
    if not all(map(math.isfinite, found)):
        raise BadInput("holds a number without an end", where=where, hint="-1 is what is not known")
    return found
