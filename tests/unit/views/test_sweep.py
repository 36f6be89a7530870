"""A sweep's table: the best first whatever was reported."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beowulf.views.straggler import job_straggler
from beowulf.views.sweep import best_first, lowest_first, sweep_table


def task(index: int, **values: Any) -> dict[str, Any]:
    return {"id": f"17_{index}", "word": "COMPLETED", "values": values}


@pytest.mark.parametrize(
    ("key", "lowest"),
    [
        ("accuracy", False),
        ("loss", True),
        ("val_loss", True),
        ("step_s", True),
        ("test-error", True),
        ("lossless", False),
    ],
)
def test_a_keys_name_says_which_end_is_good(key: str, lowest: bool) -> None:
    assert lowest_first(key) is lowest


@given(st.lists(st.none() | st.floats(-1e6, 1e6) | st.sampled_from(["nan", "inf", True]), max_size=12), st.booleans())
def test_best_first_and_what_is_no_number_last(values: list[Any], lowest: bool) -> None:
    tasks = [task(index, **({} if value is None else {"x": value})) for index, value in enumerate(values)]
    ordered = [one["values"].get("x") for one in best_first(tasks, "x", lowest=lowest)]
    assert sorted(map(str, ordered)) == sorted(map(str, values))
    known = [float(value) for value in ordered if isinstance(value, (int, float)) and math.isfinite(value)]
    assert known == sorted(known, reverse=not lowest)
    assert all(isinstance(value, (int, float)) for value in ordered[: len(known)])


def test_the_sorted_column_comes_first_and_strangers_text_is_harmless() -> None:
    tasks = [task(1, rate=0.125, loss="nan"), task(2, rate=0.1, loss=1.23456789, note="\x1b[31mred")]
    shown = sweep_table(tasks, "loss")
    assert shown.columns == ("TASK", "STATE", "LOSS", "RATE", "NOTE")
    assert shown.rows[1] == ("17_2", "COMPLETED", "1.235", "0.1", "red")
    assert sweep_table(tasks, "loss", every=True).rows[1][2] == "1.23456789"
    assert sweep_table([task(1)]).columns == ("TASK", "STATE")


def test_the_straggler_of_a_job_with_what_is_known_of_its_nodes() -> None:
    slots = [{"node": f"n{n}", "ranks": [{"rank": n}]} for n in range(3)]
    job = {"attempts": [{"allocation": {"shares": slots}}]}

    def said(rank: int, busy: float) -> dict[str, Any]:
        return {"rank": rank, "body": {"step_s": 2.0, "compute_s": busy, "sync_s": 2.0 - busy}}

    reports = [said(0, 2.0), said(0, 1.0), said(1, 1.0), said(2, 2.0), {"rank": 2, "body": {"checkpoint": "x"}}]
    hot = {"id": "n2", "facts": {"slowed": ["GPU 0 is slowed by heat (900 of 1800 MHz)"]}}
    found = job_straggler(job, reports, [hot, {"id": "n0", "facts": {}}])
    assert found is not None and (found.rank, found.cause) == (2, "clock") and "900 of 1800" in found.sentence
    assert job_straggler(job, reports[:3]) is None and job_straggler({}, reports) is None
    waiting = [said(rank, 0.1) for rank in range(3)]
    lines = [
        {"id": f"n{n}", "profile": {"links": [{"peer": "n0", "megabytes_per_s": rate}, {"peer": "far"}]}}
        for n, rate in ((1, 110.0), (2, 5.0))
    ]
    lines.append({"id": "n0", "profile": {"links": [{"peer": "n1", "megabytes_per_s": 112.0}]}})
    slow = job_straggler(job, waiting, lines)
    assert slow is not None and (slow.rank, slow.node, slow.cause) == (2, "n2", "network")
