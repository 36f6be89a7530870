"""Rows → the snapshot a controller goes on from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sqlalchemy import Connection, func, or_, select

from beowulf.model.cloud import Machine
from beowulf.model.codec import decode
from beowulf.model.job import Job, JobSpec
from beowulf.model.node import Node
from beowulf.model.snapshot import LEDGER_S, Snapshot, restore
from beowulf.store import tables
from beowulf.store.rows import job_from

RECENT_KEYS = 100_000


def load_snapshot(connection: Connection, recent_ended: int) -> Snapshot:
    """Every job that is live, holds something of a node, or is depended on; of the others the last ended ones."""
    jobs = tables.jobs.c
    found = _jobs(connection, select(jobs.number, jobs.body).where(jobs.open))
    recent = select(jobs.number, jobs.body).where(~jobs.open).order_by(jobs.ended_at.desc()).limit(recent_ended)
    found.update(_jobs(connection, recent))
    wanted = _dependencies(found.values())
    for start in range(0, len(wanted), 500):  # SQLite takes a limited number of parameters
        chunk = wanted[start : start + 500]
        found.update(_jobs(connection, select(jobs.number, jobs.body).where(jobs.number.in_(chunk))))
    nodes = [decode(Node, body) for (body,) in connection.execute(select(tables.nodes.c.body))]
    keys = tables.keys.c
    newest = select(keys.key, keys.job_id, keys.digest).order_by(keys.seq.desc()).limit(RECENT_KEYS)
    rows = [(key, job, digest) for key, job, digest in connection.execute(newest)]
    snapshot = restore(found.values(), nodes, rows, _machines(connection))
    counts = read_meta(connection)
    # The highest number or generation may belong to something no longer loaded.
    return replace(
        snapshot,
        next_number=max(snapshot.next_number, int(counts.get("next_number", "1"))),
        generations=max(snapshot.generations, int(counts.get("generations", "0"))),
        machines_made=max(snapshot.machines_made, int(counts.get("machines_made", "0"))),
    )


def _machines(connection: Connection) -> list[Machine]:
    """Those that are live, or count against the money of this month or of a job that has not ended."""
    table = tables.machines.c
    newest = float(connection.scalar(select(func.max(table.gone_at))) or 0.0)
    of_open_job = table.job_id.in_(select(tables.jobs.c.id).where(tables.jobs.c.open))
    wanted = or_(table.live, table.gone_at >= newest - LEDGER_S, of_open_job)
    query = select(table.body).where(wanted).order_by(table.number)
    return [decode(Machine, body) for (body,) in connection.execute(query)]


def read_meta(connection: Connection) -> dict[str, str]:
    return {row.name: row.value for row in connection.execute(select(tables.meta))}


def _jobs(connection: Connection, query: object) -> dict[str, Job]:
    rows = connection.execute(query).all()  # type: ignore[call-overload]
    numbers = sorted({number for number, _ in rows})
    specs: dict[int, JobSpec] = {}
    for start in range(0, len(numbers), 500):
        columns = select(tables.specs.c.number, tables.specs.c.body)
        chosen = columns.where(tables.specs.c.number.in_(numbers[start : start + 500]))
        specs.update({number: decode(JobSpec, body) for number, body in connection.execute(chosen)})
    jobs = [job_from(body, specs[number]) for number, body in rows]
    return {job.id: job for job in jobs}


def _dependencies(jobs: Iterable[Job]) -> list[int]:
    numbers = {int(need.job_id.split("_")[0]) for job in jobs if job.live for need in job.spec.dependencies}
    return sorted(numbers)
