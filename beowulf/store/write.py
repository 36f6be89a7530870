"""One group of events and the values they touch, as few statements as there are tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table, delete, insert
from sqlalchemy.dialects.sqlite import insert as upsert

from beowulf.model.clock import ClockStepped
from beowulf.model.codec import encode
from beowulf.model.event import ControllerStarted, Event
from beowulf.model.snapshot import Snapshot
from beowulf.store import tables
from beowulf.store.rows import event_row, job_row, machine_row, spec_row
from beowulf.store.touched import Touched, touched


def _put(table: Table, fixed: tuple[str, ...] = ()) -> Any:
    """Insert a row or replace what was there by its primary key; ``fixed`` columns never change."""
    statement = upsert(table)
    key = [column.name for column in table.primary_key]
    changing = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in (*key, *fixed)}
    return statement.on_conflict_do_update(index_elements=key, set_=changing)


_PUT_JOB = _put(tables.jobs, fixed=("number", "array_index", "owner", "submitted_at"))
_PUT_NODE = _put(tables.nodes)
_PUT_MACHINE = _put(tables.machines, fixed=("number", "job_id"))
_PUT_KEY = _put(tables.keys)
_PUT_META = _put(tables.meta)
_PUT_SPEC = upsert(tables.specs).on_conflict_do_nothing()
_INSERT_EVENT = insert(tables.events)


def write_group(connection: Connection, events: Sequence[Event], after: Snapshot, first_seq: int) -> None:
    """Events get the numbers from ``first_seq`` on; touched values are written as they stand in ``after``."""
    if not events:
        return
    connection.execute(_INSERT_EVENT, [event_row(first_seq + place, event) for place, event in enumerate(events)])
    concerned = touched(events)
    _submits(connection, concerned, after, first_seq)
    last = first_seq + len(events) - 1
    names = dict.fromkeys(concerned.jobs)
    if concerned.all_live:
        names.update(dict.fromkeys((*after.pending, *after.active)))
    jobs = [job_row(after.jobs[job_id], last) for job_id in names if job_id in after.jobs]
    if jobs:
        connection.execute(_PUT_JOB, jobs)
    if concerned.nodes or concerned.all_nodes:
        _nodes(connection, concerned, after)
    rented = after.machines if concerned.all_live else concerned.machines
    machines = [machine_row(after.machines[name]) for name in rented if name in after.machines]
    if machines:
        connection.execute(_PUT_MACHINE, machines)
        connection.execute(_PUT_META, [{"name": "machines_made", "value": str(after.machines_made)}])
    clocks = [event.clock for event in events if isinstance(event, (ControllerStarted, ClockStepped)) and event.clock]
    if clocks:
        connection.execute(_PUT_META, [{"name": "clock", "value": encode(clocks[-1])}])


def _submits(connection: Connection, concerned: Touched, after: Snapshot, first_seq: int) -> None:
    if not concerned.submits:
        return
    connection.execute(_PUT_SPEC, [spec_row(event.number, event.spec) for _, event in concerned.submits])
    keys = [
        {"key": event.key, "job_id": event.job_id, "digest": event.key_digest, "seq": first_seq + place}
        for place, event in concerned.submits
        if event.key
    ]
    if keys:
        connection.execute(_PUT_KEY, keys)
    connection.execute(_PUT_META, [{"name": "next_number", "value": str(after.next_number)}])


def _nodes(connection: Connection, concerned: Touched, after: Snapshot) -> None:
    names = after.nodes if concerned.all_nodes else concerned.nodes
    kept = [{"id": name, "body": encode(after.nodes[name])} for name in names if name in after.nodes]
    if kept:
        connection.execute(_PUT_NODE, kept)
    removed = [name for name in concerned.nodes if name not in after.nodes]
    if removed:
        connection.execute(delete(tables.nodes).where(tables.nodes.c.id.in_(removed)))
    connection.execute(_PUT_META, [{"name": "generations", "value": str(after.generations)}])
