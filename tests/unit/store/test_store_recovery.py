"""What was committed is what is loaded, whatever the grouping and however the controller died."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from immutables import Map
from store_histories import history

from beowulf.model.apply import apply
from beowulf.model.event import Event
from beowulf.model.snapshot import Snapshot
from beowulf.store import Store


def kept(snapshot: Snapshot) -> Snapshot:
    """Less what the store does not keep: unreachable pairs, and the difference between no share and none any more."""
    held = Map({node: shares for node, shares in snapshot.held.items() if shares})
    return replace(snapshot, held=held, unreachable=Map())


def fold(events: Sequence[Event]) -> Snapshot:
    return reduce(apply, events, Snapshot())


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(random=st.randoms(use_true_random=False), length=st.integers(1, 120))
def test_load_is_the_fold_of_what_was_committed(random: Random, length: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/beowulf.db"
        store = Store.open(url, now=1.0)
        events: list[Event] = []
        group: list[Event] = []
        after = Snapshot()
        for event, snapshot in history(random, length):
            group.append(event)
            if random.random() < 0.5:
                events += group
                after = snapshot
                assert store.commit(group, after) == len(events)
                group = []
            if random.random() < 0.02:
                store.close()
                store = Store.open(url, now=2.0)
        assert kept(store.load()) == kept(after) == kept(fold(events))
        assert [stored.event for stored in store.events(0, 1000)] == events
        store.close()


@pytest.mark.parametrize("seed", range(4))
def test_a_killed_controller_loses_nothing_it_promised(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "beowulf.db"
    command = [sys.executable, str(Path(__file__).with_name("store_child.py")), str(path), str(seed)]
    root = str(Path(__file__).parents[3])
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root})
    assert child.stdout is not None
    promised = [int(child.stdout.readline()) for _ in range(20 + 7 * seed)]
    child.send_signal(signal.SIGKILL)
    promised += [int(line) for line in child.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    child.wait()
    child.stdout.close()

    store = Store.open(f"sqlite:///{path}", now=2.0)
    stored = store.events(0, 100_000)
    assert [event.seq for event in stored] == list(range(1, len(stored) + 1))
    assert len(stored) >= promised[-1]
    assert kept(store.load()) == kept(fold([event.event for event in stored]))
    assert store.epoch == 2
    store.close()


def test_only_the_last_ended_jobs_are_loaded_with_what_others_need(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/beowulf.db", now=1.0)
    after = Snapshot()
    for event, after in history(Random(4), 600):
        store.commit([event], after)
    everything, little = store.load(), store.load(recent_ended=3)
    assert kept(everything) == kept(after)
    assert len(little.jobs) < len(everything.jobs)
    assert (little.pending, little.active, little.held) == (everything.pending, everything.active, everything.held)
    assert (little.next_number, little.generations) == (everything.next_number, everything.generations)
    needs = [need.job_id for job in little.jobs.values() if job.live for need in job.spec.dependencies]
    assert needs
    assert all(need.split("_")[0] in {str(job.number) for job in little.jobs.values()} for need in needs)
    store.close()


def test_a_backup_that_is_put_back_is_obeyed_by_nodes_that_obeyed_later_heads(tmp_path: Path) -> None:
    """They refuse a head whose epoch is over: one more than the backup's would be over for a long time."""
    path = tmp_path / "beowulf.db"

    def opened(now: float) -> int:
        store = Store.open(f"sqlite:///{path}", now=now)
        store.close()
        return store.epoch

    opened(1e9)
    backup = path.read_bytes()
    obeyed = [opened(1e9 + 10 * day) for day in range(5)]
    assert obeyed == sorted(set(obeyed))
    path.write_bytes(backup)
    assert opened(1e9 + 60) > obeyed[-1]


def test_two_heads_in_one_second_or_with_a_clock_that_was_set_back_have_epochs_of_their_own(tmp_path: Path) -> None:
    epochs = []
    for now in (1e9, 1e9, 5.0):
        store = Store.open(f"sqlite:///{tmp_path}/beowulf.db", now=now)
        epochs.append(store.epoch)
        store.close()
    assert epochs == sorted(set(epochs))
