"""Old detail goes; what anybody would look for stays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beowulf.model import event as ev
from beowulf.model.apply import apply
from beowulf.model.node import Endpoint, Facts
from beowulf.model.snapshot import Snapshot
from beowulf.store import Report, Store, thinning
from beowulf.store.thinning import Said, said_again

NAMES = st.frozensets(st.sampled_from("abc"), max_size=3)
ROWS = st.lists(st.tuples(st.integers(0, 2), st.floats(0, 300), NAMES), max_size=40)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(thinning, "BATCH", 50)
    monkeypatch.setattr("beowulf.store.store.BATCH", 50)
    monkeypatch.setattr("beowulf.store.store.PAUSE_S", 0.0)
    store = Store.open(f"sqlite:///{tmp_path}/beowulf.db", now=1.0)
    yield store
    store.close()


@given(ROWS)
def test_of_every_stretch_the_last_word_on_everything_stays(rows: list[tuple[int, float, frozenset[str]]]) -> None:
    said = [Said(number, who, at, names) for number, (who, at, names) in enumerate(rows)]

    def last_words(left: list[Said]) -> dict[Any, int]:
        return {(one.who, int(one.at // 60), name): one.number for one in left for name in one.names}

    going = set(said_again(said, 60.0))
    left = [one for one in said if one.number not in going]
    assert last_words(left) == last_words(said)
    assert said_again(left, 60.0) == []


def test_a_rank_that_tells_every_second_leaves_a_line_a_minute_and_its_last_values(store: Store) -> None:
    luck = Random(1)
    lines = [
        Report("1_2", 1, rank, 100 * second, {"step": second, "loss": luck.random()}, float(second))
        for second in range(600)
        for rank in (0, 1)
    ]
    lines.append(Report("1_2", 1, 0, 60_001, {"accuracy": 0.9}, 600.5))
    lines.append(Report("1_2", 1, 0, 60_002, {"step": 600}, 600.6))
    store.commit((), Snapshot(), lines)
    values, newest = store.last_values(1), store.latest_reports("1_2", 1)
    store.thin(300.0)
    left = store.reports("1_2", 1, 0, 10_000)
    old = [one for one in left if one.at < 300.0]
    assert 10 <= len(old) <= 10 + 2 * 600 // 50  # a batch more, a line of each rank more
    assert len(left) - len(old) == sum(line.at >= 300.0 for line in lines)
    store.thin(1e9)
    assert store.last_values(1) == values and store.latest_reports("1_2", 1) == newest
    assert len(store.reports("1_2", 1, 0, 10_000)) <= 2 * 11 + 2 * 1202 // 50
    store.thin(1e9)  # nothing is looked at twice


def test_what_a_node_said_minute_by_minute_goes_and_what_became_of_it_stays(store: Store) -> None:
    events: list[ev.Event] = [ev.NodeAdded(0.0, name, Endpoint(name), "key") for name in ("n1", "n2")]
    for minute in range(240):
        facts = Facts(foreign=f"{minute} threads")
        events += [ev.NodeUp(60.0 * minute, name, "/r", facts) for name in ("n1", "n2")]
        if minute == 100:
            events.append(ev.NodeDown(60.0 * minute + 1, "n1", "the cable"))
    after = reduce(apply, events, Snapshot())
    store.commit(events, after)
    store.thin(1e9)
    left = [one.event for one in store.events(0, 10_000)]
    kinds: dict[tuple[str, type[Any]], int] = defaultdict(int)
    for event in left:
        kinds[getattr(event, "node", ""), type(event)] += 1
    assert kinds["n1", ev.NodeDown] == 1 and kinds["n2", ev.NodeAdded] == 1
    assert all(4 <= kinds[name, ev.NodeUp] < 24 for name in ("n1", "n2"))
    assert left[-2:] == events[-2:]
    down = left.index(events[events.index(ev.NodeDown(6001.0, "n1", "the cable"))])
    assert ev.NodeUp(6000.0, "n1", "/r", Facts(foreign="100 threads")) in left[:down]
    assert store.load().nodes == after.nodes
