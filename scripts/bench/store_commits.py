"""Commits per second with 1 and with 100 events each, as the disk is and with 10 ms more each; one large array."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from measure import figure, seconds
from sqlalchemy import event as hooks

from beowulf.model.apply import apply
from beowulf.model.event import CancelRequested, Event, JobSubmitted
from beowulf.model.job import JobSpec
from beowulf.model.snapshot import Snapshot
from beowulf.store import Store

SYNC_S = 0.010
TASKS = 1000
SPEC = JobSpec("bench", "true\n" * 500)


def commits_per_second(store: Store, snapshot: Snapshot, group: int, commits: int) -> float:
    spent = 0.0
    for number in range(commits):
        tasks = [(number * group + place) % TASKS for place in range(group)]
        events: list[Event] = [CancelRequested(1.0, f"1_{task}", "bench") for task in tasks]
        for event in events:
            snapshot = apply(snapshot, event)
        after = snapshot
        spent += seconds(lambda events=events, after=after: store.commit(events, after))  # type: ignore[misc]
    return commits / spent


def measure(store: Store, first: int, title: str) -> None:
    print(f"\n{title}")
    arrays = []
    snapshot = store.load()
    for number in range(first, first + 5):
        event = JobSubmitted(1.0, str(number), number, SPEC, "bench", 0, tuple(range(TASKS)))

        def submit(event: JobSubmitted = event) -> None:
            nonlocal snapshot
            snapshot = apply(snapshot, event)
            store.commit([event], snapshot)

        arrays.append(seconds(submit) * 1000)
    print(f"  array of {TASKS} tasks             {figure(arrays, 'ms', 1)}  (target 50 in the whole server)")
    for group in (1, 100):
        rates = [commits_per_second(store, snapshot, group, 40) for _ in range(3)]
        print(f"  commits of {group:>3} events          {figure(rates, 'commits/s', 0)}", flush=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(f"sqlite:///{Path(folder)}/beowulf.db", now=1.0)
        measure(store, 1, "as the disk is")
        hooks.listen(store.engine, "commit", lambda _connection: time.sleep(SYNC_S))
        measure(store, 6, f"with {SYNC_S * 1000:.0f} ms more per commit")
        store.close()


if __name__ == "__main__":
    main()
