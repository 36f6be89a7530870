"""Lists kept in order change by change are those that would be made anew."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beowulf.tui import index
from beowulf.tui.index import ORDER, JobIndex, place
from beowulf.tui.natural import natural

jobs = st.builds(
    lambda number, state, at, nodes: {
        "id": str(number),
        "number": number,
        "state": state,
        "submitted_at": float(at),
        "ended_at": float(at),
        "nodes": nodes,
    },
    st.integers(1, 12),
    st.sampled_from([*ORDER, "ENDED"]),
    st.integers(0, 5),
    st.lists(st.sampled_from(["n1", "n2", "n3"]), unique=True, max_size=2),
)


@given(st.lists(jobs, max_size=40), st.integers(0, 40))
def test_the_index_is_what_sorting_would_give(changes: list[dict[str, Any]], at_first: int) -> None:
    newest = {job["id"]: job for job in changes[:at_first]}
    kept = JobIndex(changes[:at_first])
    for job in changes[at_first:]:
        kept.put(job)
        newest[job["id"]] = job
    assert list(kept.keys) == sorted(newest, key=lambda key: place(newest[key]))
    assert +kept.states == Counter(job["state"] for job in newest.values())
    for state in ORDER:
        assert kept.in_state(state) == [key for key in kept.keys if newest[key]["state"] == state]
    for node in ("n1", "n2", "n3"):
        placed = ("CONFIGURING", "RUNNING", "COMPLETING")
        there = {key for key, job in newest.items() if job["state"] in placed and node in job["nodes"]}
        assert set(kept.on_node(node)) == there


def test_what_ended_first_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "MOST_ENDED", 3)
    kept = JobIndex()
    kept.put({"id": "9", "number": 9, "state": "RUNNING", "submitted_at": 1.0})
    for number in range(1, 7):
        kept.put({"id": str(number), "number": number, "state": "ENDED", "ended_at": float(number)})
    assert list(kept.keys) == ["9", "6", "5", "4"] and set(kept.jobs) == {"9", "6", "5", "4"}


@pytest.mark.parametrize(
    "cells",
    [
        ("9", "17_3", "17_12", "n2", "n10"),
        ("0:07", "12:34", "2:16:51", "1-00:00:00"),
        ("▏         1% 1/4", "██▌      31% 2/4", "██████▊  84% 8/8"),
        ("███  512M/16G", "█▎   1.2G/8.0G", "████ 38G/64G"),
        ("$0.26", "$3.10", "$12.00"),
        ("↓0 ↑0", "↓12k ↑0", "↓2.4M ↑1", "↓47M ↑44M"),
    ],
)
def test_cells_are_ordered_by_what_they_say(cells: tuple[str, ...]) -> None:
    turned = cells[::-1]
    assert sorted(turned, key=natural) == list(cells)
