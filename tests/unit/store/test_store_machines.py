"""Rented machines in the store: older databases, what is loaded, and the ledger's past."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from beowulf.model import event as ev
from beowulf.model import rented
from beowulf.model.apply import apply
from beowulf.model.cloud import MachineState, Market, Offer
from beowulf.model.job import JobSpec
from beowulf.model.snapshot import LEDGER_S, Snapshot
from beowulf.store import Store
from beowulf.store import migrations as migrations_module

OFFER = Offer("aws", "us-east-1", "us-east-1a", "g4dn.xlarge", 4, 16384, "T4", 1, hourly_usd=3.6, as_of="2026-09-06")
DAY_S = 86400.0


def opened(folder: Path) -> Store:
    return Store.open(f"sqlite:///{folder / 'beowulf.db'}", now=1.0)


def happen(store: Store, snapshot: Snapshot, *events: ev.Event) -> Snapshot:
    for event in events:
        snapshot = apply(snapshot, event)
        store.commit([event], snapshot)
    return snapshot


def intended(number: int, at: float, job_id: str = "") -> rented.MachineIntended:
    money = (Market.SPOT, 3.6, "digest", 900.0, at + 1800.0)
    return rented.MachineIntended(at, f"aws-{number}", number, f"t-{number}", OFFER, *money, "key", job_id, "ada")


def test_a_database_of_before_rented_machines_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as older:
        older.setattr(migrations_module, "HEAD", "0001")
        older.setattr(migrations_module.migrate, "__kwdefaults__", {"to": "0001"})
        store = opened(tmp_path)
        before = happen(store, Snapshot(), ev.JobSubmitted(1.0, "1", 1, JobSpec("j", "true"), "ada", 1))
        store.close()
    with sqlite3.connect(tmp_path / "beowulf.db") as database:
        assert database.execute("select version_num from alembic_version").fetchone() == ("0001",)
        assert database.execute("select 1 from sqlite_master where name = 'machines'").fetchone() is None
    store = opened(tmp_path)
    assert store.load() == before
    after = happen(store, store.load(), intended(1, 2.0, "1"))
    store.close()
    store = opened(tmp_path)
    assert store.load() == after
    store.close()


def test_numbers_are_never_used_again_and_old_bills_are_left_to_the_ledger(tmp_path: Path) -> None:
    store = opened(tmp_path)
    now = 100 * DAY_S
    snapshot = happen(store, Snapshot(), ev.JobSubmitted(1.0, "1", 1, JobSpec("j", "true"), "ada", 1))
    for number, at, job_id in ((1, 1.0, ""), (2, 2.0, "1"), (3, now, "")):
        snapshot = happen(store, snapshot, intended(number, at, job_id))
        gone = rented.MachineGone(at + 60.0, f"aws-{number}", "sold out", at + 60.0, 0.06)
        snapshot = happen(store, snapshot, gone)
    store.close()
    store = opened(tmp_path)
    loaded = store.load()
    assert now - 61.0 > LEDGER_S
    assert sorted(loaded.machines) == ["aws-2", "aws-3"]  # the second counts against the budget of a job that waits
    assert loaded.machines_made == 3
    assert [one.id for one in store.machines(0.0)] == ["aws-1", "aws-2", "aws-3"]
    assert [one.id for one in store.machines(DAY_S)] == ["aws-3"]
    assert all(one.state is MachineState.GONE for one in store.machines(0.0))
    store.close()
