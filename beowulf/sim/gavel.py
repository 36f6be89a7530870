"""Traces of Gavel (Narayanan et al., OSDI 2020): jobs as steps of a kind of work, and what each device does of it.

A line holds, between tabs: job type, command, the option that takes the steps, whether data is needed, total steps,
arrival in seconds, scale factor (GPUs). Later versions put the working folder third, and end with scale factor, weight,
service level and arrival. The throughputs are JSON: ``{device: {"('job type', scale)": {"null": steps/s}}}``.
"""

from __future__ import annotations

import ast
import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeAlias

from beowulf.model.errors import BadInput
from beowulf.model.job import Checkpointing, JobSpec, Resources
from beowulf.model.snapshot import Snapshot
from beowulf.sim.trace import Trace, TraceJob

Rates: TypeAlias = Mapping[str, Mapping[tuple[str, int], float]]
"""Steps/s by job type and (kind of device, GPUs)."""

COLUMNS: Mapping[int, tuple[int, int, int]] = {7: (4, 5, 6), 9: (4, 8, 5), 10: (5, 9, 6)}
"""By the number of columns: where steps, arrival and scale factor stand."""

ALONE = "null"  # the key of a job that shares its device with nobody


def read_throughputs(text: str, cluster: Snapshot, *, name: str) -> Rates:
    """Of the kinds of GPUs that ``cluster`` has, whatever case they are spelled in. Raises `BadInput`."""
    kinds = {gpu.kind.lower(): gpu.kind for node in cluster.nodes.values() for gpu in node.facts.gpus}
    rates: dict[str, dict[tuple[str, int], float]] = {}
    try:
        table: dict[str, dict[str, dict[str, Any]]] = json.loads(text)
        missing = sorted(set(kinds) - {device.lower() for device in table})
        for device, rows in table.items():
            for row, values in rows.items() if device.lower() in kinds else ():
                job_type, scale = ast.literal_eval(row)
                rate = float(values[ALONE])
                if not 0.0 <= rate < math.inf:
                    raise ValueError(f"{row} of {device} does {rate} steps/s")
                rates.setdefault(str(job_type), {})[kinds[device.lower()], int(scale)] = rate
    except (ValueError, SyntaxError, AttributeError, TypeError, KeyError) as error:
        raise BadInput(f"are no throughputs as Gavel writes them: {error!r}", where=name) from None
    if missing:
        raise BadInput(f"say nothing of {', '.join(kinds[one] for one in missing)}", where=name)
    return rates


def read_gavel(text: str, rates: Rates, cluster: Snapshot, *, name: str) -> Trace:
    """Raises `BadInput` with the line. One rank per GPU, over as few machines as hold them."""
    largest = max((len(node.facts.gpus) for node in cluster.nodes.values()), default=0)
    if not largest:
        raise BadInput("needs machines with GPUs", where=name, hint="--machines '36 K80, 36 P100, 36 V100'")
    jobs: list[TraceJob] = []
    left_out: Counter[str] = Counter()
    told: dict[str, dict[tuple[str, int], float]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        job_type, steps, arrival, scale = _fields(line, f"{name}:{number}:1")
        found = rates_at(rates.get(job_type, {}), scale)
        if not any(found.values()):
            left_out["are of a type whose throughput is not known"] += 1
            continue
        told.setdefault(job_type, {}).update({(device, scale): rate for device, rate in found.items()})
        usable = {device: rate for device, rate in found.items() if rate}
        spec = spec_of(job_type, steps, scale, tuple(sorted(usable)) if len(usable) < len(found) else (), largest)
        jobs.append(TraceJob(arrival, steps / max(usable.values()), spec, "user", usable))
    jobs.sort(key=lambda job: job.submitted_at)
    return Trace(tuple(jobs), left_out, told)


def rates_at(known: Mapping[tuple[str, int], float], scale: int) -> dict[str, float]:
    """By device; a scale nobody measured goes in proportion to the next smaller one that was."""
    found: dict[str, float] = {}
    for device in sorted({device for device, _ in known}):
        measured = [other for kind, other in known if kind == device and other <= scale]
        if measured:
            found[device] = known[device, max(measured)] * scale / max(measured)
    return found


def spec_of(job_type: str, steps: int, scale: int, kinds: tuple[str, ...], largest: int) -> JobSpec:
    """One rank per GPU; ``largest``: GPUs of the largest machine."""
    nodes = -(-scale // largest)
    gpus = -(-scale // nodes)
    resources = Resources(cpus=1, gpus=gpus, gpu_kinds=kinds)
    return JobSpec(
        job_type,
        "true",
        min_nodes=nodes,
        max_nodes=nodes,
        procs_per_node=gpus,
        resources=resources,
        kill_grace_s=0.0,
        checkpoint=Checkpointing("checkpoint"),
        family=job_type,
        steps=steps,
    )


def _fields(line: str, where: str) -> tuple[str, int, float, int]:
    words = line.rstrip("\r\n").split("\t")
    columns = COLUMNS.get(len(words))
    if columns is None:
        raise BadInput(f"holds {len(words)} columns, not 7, 9 or 10", where=where, hint="is it a trace of Gavel?")
    try:
        steps, arrival, scale = (float(words[column]) for column in columns)
    except ValueError as error:
        raise BadInput(f"holds something that is no number: {error}", where=where) from None
    if not (1 <= steps < 1e18 and 0 <= arrival < 1e12 and 1 <= scale <= 100_000):
        raise BadInput("steps and scale factor are at least 1, and arrivals not before 0", where=where)
    return words[0], int(steps), arrival, int(scale)
