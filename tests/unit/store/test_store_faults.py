"""Bad places, other hands on the file, full disks: a clear refusal, never half a transaction or an empty queue."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import text
from store_histories import history

import beowulf.store.store as store_module
from beowulf.model.errors import BadInput, Refused
from beowulf.model.snapshot import Snapshot
from beowulf.store import Store, StoreError
from beowulf.store import migrations as migrations_module


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "beowulf.db"


def opened(path: Path) -> Store:
    return Store.open(f"sqlite:///{path}", now=1.0)


def filled(path: Path, length: int = 60) -> Snapshot:
    store = opened(path)
    after = Snapshot()
    for event, after in history(Random(1), length):
        store.commit([event], after)
    store.close()
    return after


def test_files_are_the_owners_only(path: Path) -> None:
    store = opened(path)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.glob("beowulf.db*")}
    assert {"beowulf.db", "beowulf.db-wal", "beowulf.db-shm"} <= set(modes)
    assert all(mode == 0o600 for name, mode in modes.items() if not name.endswith(".id"))
    store.close()


def test_wal_and_full_sync(path: Path) -> None:
    store = opened(path)
    with store.engine.connect() as connection:
        pragmas = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        assert [connection.execute(text(f"PRAGMA {name}")).scalar() for name in pragmas] == ["wal", 2, 1, 5000]
    store.close()


def test_a_second_controller_is_refused_by_name_and_let_in_after_the_first_ones_death(path: Path) -> None:
    url = f"sqlite:///{path}"
    code = f"from beowulf.store import Store; s = Store.open({url!r}, now=1.0); print('ok', flush=True); input()"
    first = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert first.stdout is not None and first.stdin is not None
    assert first.stdout.readline() == "ok\n"
    with pytest.raises(Refused, match=f"process {first.pid} already runs"):
        opened(path)
    first.send_signal(signal.SIGKILL)
    first.wait()
    first.stdout.close()
    first.stdin.close()
    store = opened(path)
    assert store.epoch == 2
    store.close()


def test_a_later_epoch_ends_the_earlier_controller(path: Path) -> None:
    store = opened(path)
    with sqlite3.connect(path) as other:
        other.execute("insert into epochs values (2, 1.0, 1, 'elsewhere')")
    event, after = next(history(Random(1), 1))
    with pytest.raises(Refused, match="epoch 2 was claimed"):
        store.commit([event], after)
    assert store.events(0, 10) == []
    store.close()


@pytest.mark.parametrize("harm", ["deleted", "emptied", "no tables", "truncated", "garbage", "another"])
def test_never_starts_on_a_silently_empty_queue(path: Path, harm: str) -> None:
    filled(path)
    whole = path.read_bytes()
    if harm == "deleted":
        path.unlink()
    elif harm == "emptied":
        path.write_bytes(b"")
    elif harm == "no tables":
        path.unlink()
        sqlite3.connect(path).execute("create table other (a)").connection.close()
    elif harm == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif harm == "garbage":
        path.write_bytes(b"not a database" * 1000)
    else:
        elsewhere = path.with_name("elsewhere.db")
        filled(elsewhere)
        path.write_bytes(elsewhere.read_bytes())
    with pytest.raises((Refused, StoreError)) as refusal:
        opened(path)
    assert refusal.value.hint and str(path) in refusal.value.message
    path.write_bytes(whole)
    assert len(opened_and_read(path)) == 60


def opened_and_read(path: Path) -> list[int]:
    store = opened(path)
    numbers = [event.seq for event in store.events(0, 1000)]
    store.close()
    return numbers


def test_a_file_taken_away_while_running_is_noticed(path: Path) -> None:
    store = opened(path)
    path.unlink()
    event, after = next(history(Random(1), 1))
    with pytest.raises(StoreError, match="removed or replaced"):
        store.commit([event], after)
    store.close()


def test_waits_for_a_lock(path: Path) -> None:
    store = opened(path)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.3, lambda: other.execute("ROLLBACK")).start()
    event, after = next(history(Random(1), 1))
    assert store.commit([event], after) == 1
    other.close()
    store.close()


def test_gives_up_on_a_lock_in_words(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "LOCKED_WAIT_S", 0.0)
    monkeypatch.setattr("beowulf.store.engine.BUSY_TIMEOUT_MS", 50)
    store = opened(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    event, after = next(history(Random(1), 1))
    with pytest.raises(StoreError, match="keeps the database locked") as error:
        store.commit([event], after)
    assert error.value.busy
    other.close()
    assert store.commit([event], after) == 1
    store.close()


def test_a_full_disk_fails_in_words_keeps_no_half_row_and_heals(path: Path) -> None:
    store = opened(path)
    pairs = list(history(Random(2), 400))
    with store.engine.connect() as connection:
        pages = int(connection.execute(text("PRAGMA page_count")).scalar() or 0)
    # The pool has one idle connection: the limit holds for the next commit as a full disk would.
    with store.engine.connect() as connection:
        connection.execute(text(f"PRAGMA max_page_count={pages + 4}"))
    done = 0
    with pytest.raises(StoreError, match="the disk is full"):
        for event, after in pairs:
            store.commit([event], after)
            done += 1
    assert 0 < done < len(pairs)
    assert len(store.events(0, 1000)) == done
    with store.engine.connect() as connection:
        connection.execute(text("PRAGMA max_page_count=1000000"))
    for event, after in pairs[done:]:
        done = store.commit([event], after)
    assert done == len(pairs)
    store.close()


def test_a_newer_schema_is_refused(path: Path) -> None:
    filled(path)
    with sqlite3.connect(path) as other:
        other.execute("update alembic_version set version_num = '9999'")
    with pytest.raises(Refused, match="schema 9999 was written by a newer beowulf"):
        opened(path)


def test_a_migration_that_dies_half_way_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(store_module, "_identify", die)  # after the DDL, before its commit
        with pytest.raises(KeyboardInterrupt):
            opened(path)
    with sqlite3.connect(path) as other:
        assert other.execute("select name from sqlite_master").fetchall() == []
    assert opened_and_read(path) == []


def test_the_migrated_schema_is_the_one_the_code_uses(path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    from beowulf.store.tables import METADATA

    store = opened(path)
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection)
        differences = [change for change in compare_metadata(context, METADATA) if change[0] not in EXPECTED]
    assert differences == []
    assert migrations_module.HEAD == "0002"
    store.close()


EXPECTED = ("remove_index", "remove_constraint")  # indexes live in the migrations only


@pytest.mark.parametrize("url", ["postgresql://x/y", "sqlite:///", "beowulf.db"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(BadInput):
        Store.open(url, now=1.0)


def test_an_unwritable_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        opened(tmp_path / "file" / "beowulf.db")
