"""Old detail goes: of what was said again and again, the last of each stretch of time stays.

A rank tells about once a second how it goes, a node every minute who else is at work on it: a year of that would be
hundreds of gigabytes. All else is kept for good.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Row, Table, delete, select
from sqlalchemy.dialects.sqlite import insert as upsert

from beowulf.store import tables
from beowulf.store.load import read_meta

BATCH = 5000  # rows that are looked at in one transaction: some hundredths of a second
REPORTS_S, NODES_S = 60.0, 3600.0
SAID_BY_NODES = "NodeUp"


@dataclass(frozen=True, slots=True)
class Said:
    """``number`` orders rows as they came; ``names`` are what ``who`` said a value of."""

    number: int
    who: Hashable
    at: float
    names: frozenset[str]


def said_again(rows: Iterable[Said], stretch_s: float) -> list[int]:
    """Numbers of the rows all of whose names the same one said again later in the same stretch of time."""
    later: dict[tuple[Hashable, int], set[str]] = {}
    found = []
    for row in sorted(rows, key=lambda row: -row.number):
        known = later.setdefault((row.who, int(row.at // stretch_s)), set())
        if known and row.names <= known:
            found.append(row.number)
        known |= row.names
    return found


def thin_reports(connection: Connection, before: float) -> int:
    """→ how many rows were looked at; fewer than `BATCH`: those were all that are older than ``before``."""
    table, column = tables.reports, tables.reports.c
    shown = (column.cursor, column.at, column.job_id, column.attempt, column.rank, column.body)
    rows = _old(connection, column.cursor, shown, before)
    said = [Said(one.cursor, one[2:5], one.at, frozenset(json.loads(one.body))) for one in rows]
    return _let_go(connection, table, column.cursor, said_again(said, REPORTS_S), rows)


def thin_nodes(connection: Connection, before: float) -> int:
    """What nodes said of themselves, one time after the other with nothing in between; → as `thin_reports`."""
    table, column = tables.events, tables.events.c
    rows = _old(connection, column.seq, (column.seq, column.at, column.kind, column.node_id), before)
    between: Counter[str] = Counter()
    said = []
    for one in rows:
        if one.kind == SAID_BY_NODES:
            said.append(Said(one.seq, (one.node_id, between[one.node_id]), one.at, frozenset((one.kind,))))
        elif one.node_id:
            between[one.node_id] += 1
    return _let_go(connection, table, column.seq, said_again(said, NODES_S), rows)


def _old(connection: Connection, number: Column[Any], shown: Sequence[Any], before: float) -> list[Row[Any]]:
    """The next `BATCH` at the most, up to the last one that is old enough; their numbers come first. A clock that was
    wrong for a while holds nothing up."""
    query = select(*shown).where(number > _looked_at(connection, number)).order_by(number).limit(BATCH)
    rows = connection.execute(query).all()
    return list(rows[: max((place for place, row in enumerate(rows, 1) if row.at < before), default=0)])


def _looked_at(connection: Connection, number: Column[Any]) -> int:
    return int(read_meta(connection).get(_name(number), "0"))


def _name(number: Column[Any]) -> str:
    return f"thinned_{number.table.name}"


def _let_go(
    connection: Connection, table: Table, number: Column[Any], leaving: Sequence[int], rows: Sequence[Row[Any]]
) -> int:
    for start in range(0, len(leaving), 500):  # SQLite takes a limited number of parameters
        connection.execute(delete(table).where(number.in_(leaving[start : start + 500])))
    if rows:
        put = upsert(tables.meta).on_conflict_do_update(index_elements=["name"], set_={"value": str(rows[-1][0])})
        connection.execute(put, {"name": _name(number), "value": str(rows[-1][0])})
    return len(rows)
