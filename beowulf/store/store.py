"""The face of the room: open, load, commit, and reading back what happened."""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, func, insert, or_, select
from sqlalchemy.dialects.sqlite import insert as upsert

from beowulf.model.clock import Clock
from beowulf.model.cloud import Machine
from beowulf.model.codec import decode
from beowulf.model.errors import Refused
from beowulf.model.event import Event
from beowulf.model.snapshot import Snapshot
from beowulf.store import tables
from beowulf.store.engine import make_engine
from beowulf.store.errors import StoreError, in_words
from beowulf.store.load import load_snapshot, read_meta
from beowulf.store.migrations import migrate
from beowulf.store.place import Place, take_lock
from beowulf.store.rows import Report, StoredEvent, StoredReport, report_from, report_row
from beowulf.store.thinning import BATCH, thin_nodes, thin_reports
from beowulf.store.write import write_group

RECENT_ENDED = 10_000
LOCKED_WAIT_S = 120.0
PAUSE_S = 0.05  # between two batches: who commits comes first

T = TypeVar("T")


class Store:
    """One controller's hold on the queue, from `open` until `close` or the process's death.

    ``commit`` is for one thread; reading is for any.
    """

    def __init__(
        self,
        place: Place,
        engine: Engine,
        lock: int,
        epoch: int,
        meta: dict[str, str],
        last: int,
        clock: Clock | None,
    ) -> None:
        """``clock``: what the head's clock said when something was last written here."""
        self.clock = clock
        self.engine = engine
        self.epoch = epoch
        self.cluster = meta["cluster"]
        self._place = place
        self._lock = lock
        self._identity = place.identity()
        self._last = last
        self._writing = threading.Lock()

    @classmethod
    def open(cls, url: str, *, now: float, cluster: str = "") -> Store:
        """Migrates, then claims the next epoch. ``cluster`` names a store that is new; else a name is made up.

        Raises `Refused` when another controller holds it, a newer beowulf wrote it, or a queue that was here is gone.
        """
        place = Place.of(url)
        lock = take_lock(place)
        engine = None
        try:
            with in_words(str(place.database)):
                _prepare_file(place)
                engine = make_engine(place.database)
                return _patiently(lambda: cls._claim(place, engine, lock, now, cluster))
        except BaseException:
            if engine is not None:
                engine.dispose()
            os.close(lock)
            raise

    @classmethod
    def _claim(cls, place: Place, engine: Engine, lock: int, now: float, cluster: str) -> Store:
        with _transaction(engine, place, write=True) as connection:
            _check_health(connection, place)
            migrate(connection, str(place.database))
            meta = _identify(connection, place, cluster)
            # Not only one more: a backup that is put back must not begin below what the nodes have obeyed since.
            epoch = max(int(connection.scalar(select(func.max(tables.epochs.c.epoch))) or 0) + 1, int(now))
            row = {"epoch": epoch, "at": now, "pid": os.getpid(), "host": socket.gethostname()}
            connection.execute(insert(tables.epochs), row)
            last = int(connection.scalar(select(func.max(tables.events.c.seq))) or 0)
            at = connection.scalar(select(tables.events.c.at).where(tables.events.c.seq == last))
        clock = replace(decode(Clock, meta["clock"]), at=at or 0.0) if "clock" in meta else None
        if place.read_mark() != meta["store_id"]:
            place.write_mark(meta["store_id"])
        return cls(place, engine, lock, epoch, meta, last, clock)

    @property
    def last(self) -> int:
        """The number of the last event kept."""
        return self._last

    def load(self, recent_ended: int = RECENT_ENDED) -> Snapshot:
        """What `apply` had built, less what was forgotten: ended jobs but the last ones, and unreachable pairs."""
        with self._reading() as connection:
            return load_snapshot(connection, recent_ended)

    def commit(self, events: Sequence[Event], after: Snapshot, reports: Sequence[Report] = ()) -> int:
        """One durable transaction: the events, the values in ``after`` they touch, the reports. → the last event's seq.

        Raises `StoreError` (nothing was kept) or, when a later controller took over, `Refused`.
        """
        with self._writing:
            _patiently(lambda: self._write(events, after, reports))
            self._last += len(events)
            return self._last

    def _write(self, events: Sequence[Event], after: Snapshot, reports: Sequence[Report]) -> None:
        self._check_still_there()
        with _transaction(self.engine, self._place, write=True) as connection:
            self._check_epoch(connection)
            write_group(connection, events, after, self._last + 1)
            if reports:
                rows = [report_row(report) for report in reports]
                connection.execute(upsert(tables.reports).on_conflict_do_nothing(), rows)

    def thin(self, before: float) -> None:
        """Leaves of what was told again and again before that moment what `thinning` says. For any thread; commits wait
        for one batch at the most. Raises as `commit`."""
        for thin in (thin_reports, thin_nodes):
            while self._thinned(thin, before) == BATCH:
                time.sleep(PAUSE_S)

    def _thinned(self, thin: Callable[[Connection, float], int], before: float) -> int:
        with self._writing, _transaction(self.engine, self._place, write=True) as connection:
            self._check_epoch(connection)
            return thin(connection, before)

    def _check_epoch(self, connection: Connection) -> None:
        newest = connection.scalar(select(func.max(tables.epochs.c.epoch)))
        if newest != self.epoch:
            raise Refused(f"epoch {self.epoch} of this controller is over: epoch {newest} was claimed by another")

    def _check_still_there(self) -> None:
        # SQLite would go on writing to a deleted file, and every word of it would be lost.
        if self._place.identity() != self._identity:
            raise StoreError(
                f"{self._place.database}: the database was removed or replaced while the controller ran",
                hint="put it back, then: beowulf down; beowulf up",
            )

    def events(self, after: int, limit: int, job_id: str = "") -> list[StoredEvent]:
        """Oldest first, those with ``seq > after``. An array's id means all its tasks; a task's includes its submit."""
        table = tables.events
        query = select(table).where(table.c.seq > after).order_by(table.c.seq).limit(limit)
        if job_id:
            number = job_id.split("_")[0]
            # "`" follows "_": the range holds every id that begins with "17_".
            tasks = (table.c.job_id >= f"{number}_") & (table.c.job_id < f"{number}`")
            exact = table.c.job_id.in_([job_id, number])
            query = query.where(exact if "_" in job_id else or_(exact, tasks))
        with self._reading() as connection:
            return [StoredEvent(*row) for row in connection.execute(query)]

    def reports(self, job_id: str, attempt: int, after: int, limit: int) -> list[StoredReport]:
        """Oldest first, those with ``cursor > after``."""
        table = tables.reports
        query = (
            select(table)
            .where(table.c.job_id == job_id, table.c.attempt == attempt, table.c.cursor > after)
            .order_by(table.c.cursor)
            .limit(limit)
        )
        with self._reading() as connection:
            return [report_from(row) for row in connection.execute(query)]

    def last_reports(self, job_id: str, attempt: int, limit: int) -> list[StoredReport]:
        """The newest ones, of those the oldest first."""
        table = tables.reports
        query = select(table).where(table.c.job_id == job_id, table.c.attempt == attempt)
        with self._reading() as connection:
            found = connection.execute(query.order_by(table.c.cursor.desc()).limit(limit))
            return [report_from(row) for row in reversed(found.all())]

    def last_values(self, number: int) -> dict[str, dict[str, Any]]:
        """By task of the array: the last value of every key in its newest attempt, by the lowest rank that told it."""
        table = tables.reports.c
        columns = select(table.job_id, table.attempt, table.body)
        tasks = columns.where(table.job_id >= f"{number}_", table.job_id < f"{number}`")
        with self._reading() as connection:
            rows = connection.execute(tasks.order_by(table.job_id, table.attempt, table.rank.desc(), table.seq)).all()
        values: dict[str, dict[str, Any]] = {}
        newest: dict[str, int] = {}
        for job_id, attempt, body in rows:
            if newest.get(job_id) != attempt:
                newest[job_id], values[job_id] = attempt, {}
            values[job_id].update(json.loads(body))
        return values

    def latest_reports(self, job_id: str, attempt: int) -> list[StoredReport]:
        """The last one of each rank, by rank."""
        table = tables.reports
        of_attempt = (table.c.job_id == job_id) & (table.c.attempt == attempt)
        last = select(func.max(table.c.cursor)).where(of_attempt).group_by(table.c.rank)
        query = select(table).where(table.c.cursor.in_(last)).order_by(table.c.rank)
        with self._reading() as connection:
            return [report_from(row) for row in connection.execute(query)]

    def machines(self, since: float) -> list[Machine]:
        """Rented ones that were there at ``since`` or later, in the order they were intended."""
        table = tables.machines.c
        query = select(table.body).where(or_(table.live, table.gone_at >= since)).order_by(table.number)
        with self._reading() as connection:
            return [decode(Machine, body) for (body,) in connection.execute(query)]

    def close(self) -> None:
        """Lets another controller in. Idempotent."""
        self.engine.dispose()
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1

    def _reading(self) -> AbstractContextManager[Connection]:
        return _transaction(self.engine, self._place)


@contextmanager
def _transaction(engine: Engine, place: Place, *, write: bool = False) -> Iterator[Connection]:
    with (
        in_words(str(place.database)),
        engine.connect().execution_options(write=write) as connection,
        connection.begin(),
    ):
        yield connection


def _patiently(work: Callable[[], T]) -> T:
    """``work()``, tried again while another process keeps the database locked, for two minutes at most."""
    deadline = time.monotonic() + LOCKED_WAIT_S
    while True:
        try:
            return work()
        except StoreError as error:
            if not error.busy or time.monotonic() > deadline:
                raise


def _prepare_file(place: Place) -> None:
    mark = place.read_mark()
    size = place.database.stat().st_size if place.database.exists() else 0
    if mark and not size:
        what = "is empty" if place.database.exists() else "is gone"
        raise Refused(
            f"{place.database}: the database {what}, and a queue was kept in it",
            hint=f"put a backup back, or give up the old queue for good: rm {place.mark}",
        )
    try:
        place.make_file()
    except OSError as error:
        raise StoreError(f"{place.database}: {error.strerror}", hint="look at the folder's owner and mode") from error


def _check_health(connection: Connection, place: Place) -> None:
    verdict = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if verdict != "ok":
        raise StoreError(
            f"{place.database}: the database is damaged ({verdict})",
            hint="put a backup in its place; nothing was started",
        )


def _identify(connection: Connection, place: Place, cluster: str) -> dict[str, str]:
    """Who this store is; written once. A mark of another store means that the database was replaced."""
    meta = read_meta(connection)
    if "store_id" not in meta:
        if place.read_mark():
            raise Refused(
                f"{place.database}: the database has lost its queue",
                hint=f"put a backup back, or give up the old queue for good: rm {place.mark}",
            )
        meta = {"store_id": secrets.token_hex(16), "cluster": cluster or secrets.token_hex(4)}
        connection.execute(insert(tables.meta), [{"name": name, "value": value} for name, value in meta.items()])
    elif place.read_mark() not in ("", meta["store_id"]):
        raise Refused(
            f"{place.database}: another store's database lies in this place",
            hint=f"put the right one back, or keep this one: rm {place.mark}",
        )
    return meta
