"""Events and reports, read back."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from pathlib import Path

import pytest

from beowulf.model.apply import apply
from beowulf.model.event import CancelRequested, JobSubmitted
from beowulf.model.job import JobSpec
from beowulf.model.snapshot import Snapshot
from beowulf.store import Report, Store
from beowulf.store.touched import touched


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(f"sqlite:///{tmp_path}/beowulf.db", now=1.0, cluster="lab")
    yield store
    store.close()


SPEC = JobSpec("a", "true")
EVENTS = (
    JobSubmitted(1.0, "1", 1, SPEC, "ada", 1000, (3, 5)),
    JobSubmitted(2.0, "17", 17, SPEC, "ada", 1000),
    CancelRequested(3.0, "1_3", "ada"),
    CancelRequested(4.0, "1_5", "ada"),
    CancelRequested(5.0, "17", "ada"),
)


def test_an_array_touches_all_its_tasks_once() -> None:
    concerned = touched(EVENTS)
    assert concerned.jobs == ("1_3", "1_5", "1", "17")
    assert (concerned.nodes, concerned.all_nodes, concerned.submits) == ((), False, ((0, EVENTS[0]), (1, EVENTS[1])))


def test_events_by_cursor_and_job(store: Store) -> None:
    assert store.commit(EVENTS, reduce(apply, EVENTS, Snapshot())) == 5
    assert [event.seq for event in store.events(1, 2)] == [2, 3]
    assert [event.seq for event in store.events(0, 9, "1")] == [1, 3, 4]
    assert [event.seq for event in store.events(0, 9, "1_5")] == [1, 4]
    assert [event.seq for event in store.events(0, 9, "17")] == [2, 5]
    assert store.cluster == "lab"


def test_a_repeated_report_is_kept_once_and_a_diverged_loss_is_seen(store: Store) -> None:
    lines = [Report("1", 1, 0, offset, {"loss": loss}, 2.0) for offset, loss in ((0, 0.5), (14, float("nan")))]
    store.commit((), Snapshot(), lines)
    store.commit((), Snapshot(), [*lines, Report("1", 1, 1, 0, {"loss": "\ud800"}, 2.0)])
    found = store.reports("1", 1, 0, 10)
    assert [(r.rank, r.seq, r.body["loss"]) for r in found] == [(0, 0, 0.5), (0, 14, "nan"), (1, 0, "\ud800")]
    assert [r.rank for r in store.reports("1", 1, found[1].cursor, 10)] == [1]
    assert store.reports("1", 2, 0, 10) == []
    assert [(r.rank, r.seq) for r in store.latest_reports("1", 1)] == [(0, 14), (1, 0)]
    assert store.latest_reports("1", 2) == []
    assert [r.seq for r in store.last_reports("1", 1, 2)] == [14, 0]


def test_an_arrays_last_values(store: Store) -> None:
    """Of the newest attempt; the lowest rank has the word; other jobs' ids do not get in."""

    def line(task: str, attempt: int, rank: int, seq: int, **body: float) -> Report:
        return Report(task, attempt, rank, seq, body, 2.0)

    lines = [
        line("7_1", 1, 0, 10, accuracy=0.1, old=1),
        line("7_1", 2, 1, 90, accuracy=0.3, own=5),
        line("7_1", 2, 0, 10, accuracy=0.4, loss=2),
        line("7_1", 2, 0, 20, accuracy=0.5),
        line("7_12", 1, 0, 10, accuracy=0.9),
        line("7", 1, 0, 10, accuracy=8.0),
        line("71_1", 1, 0, 10, accuracy=9.0),
    ]
    store.commit((), Snapshot(), lines)
    assert store.last_values(7) == {"7_1": {"accuracy": 0.5, "own": 5, "loss": 2}, "7_12": {"accuracy": 0.9}}
    assert store.last_values(8) == {}
