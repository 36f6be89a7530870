"""Values ↔ rows."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Row

from beowulf.model.cloud import Machine
from beowulf.model.codec import decode_event, encode, encode_event
from beowulf.model.event import Event
from beowulf.model.job import Job, JobSpec
from beowulf.model.snapshot import held_shares
from beowulf.store.touched import job_of, machine_of, node_of

_JOB: TypeAdapter[Job] = TypeAdapter(Job)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    seq: int
    at: float
    kind: str
    job_id: str
    node_id: str
    body: str  # JSON

    @property
    def event(self) -> Event:
        return decode_event(self.kind, self.body)


@dataclass(frozen=True, slots=True)
class Report:
    """One line of a rank's report file. ``seq`` is its byte offset there: a repeat is known by it."""

    job_id: str
    attempt: int
    rank: int
    seq: int
    body: Mapping[str, Any]
    at: float


@dataclass(frozen=True, slots=True)
class StoredReport:
    """``cursor`` grows with every report kept: the place to go on from."""

    cursor: int
    job_id: str
    attempt: int
    rank: int
    seq: int
    body: Mapping[str, Any]
    at: float


def event_row(seq: int, event: Event) -> dict[str, Any]:
    kind, body = encode_event(event)
    return {
        "seq": seq,
        "at": event.at,
        "kind": kind,
        "job_id": job_of(event),
        "node_id": node_of(event) or machine_of(event),  # a rented machine's node has its name
        "body": body,
    }


def job_row(job: Job, seq: int) -> dict[str, Any]:
    return {
        "id": job.id,
        "number": job.number,
        "array_index": job.array_index,
        "owner": job.owner,
        "state": job.state.value,
        "result": job.result.value if job.result else None,
        "submitted_at": job.submitted_at,
        "ended_at": job.ended_at,
        "open": job.live or bool(held_shares(job)),
        "body": _JOB.dump_json(job, exclude={"spec"}).decode(),
        "seq": seq,
    }


def job_from(body: str, spec: JobSpec) -> Job:
    return _JOB.validate_python({**json.loads(body), "spec": spec})


def machine_row(machine: Machine) -> dict[str, Any]:
    return {
        "id": machine.id,
        "number": machine.number,
        "job_id": machine.job_id,
        "live": machine.live,
        "gone_at": machine.gone_at,
        "body": encode(machine),
    }


def spec_row(number: int, spec: JobSpec) -> dict[str, Any]:
    return {"number": number, "body": encode(spec)}


def report_row(report: Report) -> dict[str, Any]:
    return {
        "job_id": report.job_id,
        "attempt": report.attempt,
        "rank": report.rank,
        "seq": report.seq,
        "body": json.dumps(finite(report.body)),
        "at": report.at,
    }


def report_from(row: Row[Any]) -> StoredReport:
    return StoredReport(row.cursor, row.job_id, row.attempt, row.rank, row.seq, json.loads(row.body), row.at)


def finite(value: Any) -> Any:
    """``value`` with NaN and infinities as words: a diverged loss must be seen, and JSON has no number for it."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value
