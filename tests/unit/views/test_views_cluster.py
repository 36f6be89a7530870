"""What `beowulf top` makes of nodes, GPUs, transfers and money."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beowulf.views.bill import Bill, bill_of, month_left_s
from beowulf.views.cluster import cluster_row, node_part, totals
from beowulf.views.gpus import gpu_loads, gpu_row, gpu_sentence
from beowulf.views.heat import average, heat_cell, heat_map
from beowulf.views.jobs import job_eta
from beowulf.views.profile import profile_details, wide_cells
from beowulf.views.transfers import transfer_row

CARDS = [{"index": 0, "kind": "K80", "memory_mib": 12288}, {"index": 1, "kind": "K80", "memory_mib": 12288}]
NODE: dict[str, Any] = {
    "id": "n5",
    "state": "UP",
    "site": "lab",
    "used_cpus": 2,
    "used_gpus": 1,
    "gpu_jobs": {"0": "42"},
    "facts": {"cpus": [0, 1, 2, 3], "memory_mib": 65536, "gpus": CARDS},
}
LOAD: dict[str, Any] = {
    "cpu": 0.5,
    "gpus": [
        {"index": 0, "utilisation": 0.97, "memory_used_mib": 6144, "temperature_c": 78, "power_w": 140.0},
        {"index": 1, "utilisation": 0.0, "memory_used_mib": 0, "temperature_c": 41, "power_w": 20.0},
    ],
}
OFFER = {"provider": "aws", "region": "us-east-1", "hourly_usd": 0.5, "spot_hourly_usd": 0.2}
MACHINE = {"offer": OFFER, "market": "spot", "state": "READY", "created_at": 1.0, "reclaim_at": 0.0}


def test_a_node_s_gpus_have_a_character_each_for_use_memory_heat_and_power() -> None:
    row = cluster_row(NODE, [LOAD], ["42"])
    assert (row.gpu, row.use, row.gpu_memory) == ("2×K80 (1 busy)", "█▁ 48%", "▅▁ 6.0G")
    assert (row.temperature, row.power) == ("▇▄ 78°", "▄▁ 160W")
    silent = cluster_row(NODE, [], [])
    assert (silent.use, silent.gpu_memory, silent.temperature, silent.power) == ("", "", "", "")


def test_a_rented_node_has_its_price_and_when_a_spot_machine_goes() -> None:
    node = {**NODE, "site": "aws:us-east-1"}
    assert cluster_row(NODE, [], []).site == "lab"
    assert cluster_row(node, [], [], {**MACHINE, "market": "on-demand"}, 100.0).site == "aws:us-east-1 $0.50/h"
    assert (
        cluster_row(node, [], [], {**MACHINE, "reclaim_at": 202.0}, 100.0).site
        == "aws:us-east-1 $0.20/h spot, gone in 1:42"
    )


def test_whoever_else_works_on_a_node_is_named_beside_its_jobs() -> None:
    facts = {**NODE["facts"], "foreign": "2 threads are kept busy by blender of bob"}
    assert (
        cluster_row({**NODE, "facts": facts}, [], ["42"]).doing == "job 42 · 2 threads are kept busy by blender of bob"
    )


def test_the_line_on_top_names_what_somebody_should_look_at() -> None:
    sick = {**NODE, "id": "n6", "facts": {**NODE["facts"], "gpus": [CARDS[0], {**CARDS[1], "healthy": False}]}}
    parts = [
        node_part(node)
        for node in (NODE, sick, {"id": "n7", "state": "DOWN"}, {"id": "n8", "state": "DOWN", "drained": True})
    ]
    found = totals(parts, {"RUNNING": 2})
    assert found.sentence == "2/4 nodes up · 2/4 GPUs busy · 2 running"
    assert found.alert == "2 alerts: n6: GPU 1 out of order"
    assert totals([], {}).sentence == "0/0 nodes up · 0/0 threads busy · no jobs"


def test_a_line_that_was_measured_alone_is_shown_and_no_bench_is_claimed() -> None:
    way = {"peer": "n1", "megabytes_per_s": 12.0, "round_trip_ms": 40.0}
    profile = {"measured_at": 0.0, "devices": [], "links": [way]}
    assert profile_details(profile, 100.0) == [("Line", "to n1: 12 MB/s, 40 ms there and back")]
    assert wide_cells({"profile": profile}, 100.0) == ("-", "-", "12", "40", "-", "-")
    assert profile_details({"measured_at": 0.0, "devices": [], "links": []}, 100.0) == []


def test_a_gpu_in_one_line() -> None:
    first, second = gpu_loads(NODE, LOAD)
    assert gpu_sentence(first) == "n5 GPU 0 · K80 · MIXED · 97 % · 6.0G/12G · 78 °C · 140 W · job 42"
    assert gpu_row(second).job == "" and gpu_row(first).job == "42"
    assert average([first, second], "temperature") == "60 °C" and average([], "use") == ""
    assert [heat_cell(first, "use", width) for width in (5, 3, 2, 1)] == ["  97 ", " 97", "██", "█"]
    assert heat_cell(gpu_loads(NODE, {})[0], "use", 3) == " · "


@given(st.lists(st.integers(1, 8), max_size=60), st.integers(-1, 200), st.integers(-1, 60))
def test_every_gpu_has_a_cell_of_its_own_within_the_width(gpus: list[int], width: int, height: int) -> None:
    found = heat_map([(f"n{number}", many) for number, many in enumerate(gpus)], width, height)
    assert len(found.places) == sum(gpus) and len(set(found.places)) == sum(gpus)
    spans = sorted((line, column, column + found.cell) for line, column in found.places)
    assert all(a[0] < b[0] or a[2] <= b[1] for a, b in pairwise(spans))
    if width >= found.label + 2 + 5:
        assert all(end <= width for _, _, end in spans)
    for at, (line, column) in enumerate(found.places):
        assert found.cell_at(line, column) == at
    assert [at for first, end in found.lines for at in range(first, end)] == list(range(sum(gpus)))


def test_cells_are_as_wide_as_all_of_them_fit() -> None:
    shelf = [(f"n{number:04}", 2) for number in range(1000)]
    assert heat_map(shelf, 159, 42).cell == 2 and len(heat_map(shelf, 159, 42).lines) <= 42
    assert heat_map(shelf, 79, 20).cell == 1 and len(heat_map(shelf, 79, 20).lines) > 20  # these are scrolled
    assert heat_map(shelf[:6], 159, 42).cell == 5 and len(heat_map(shelf[:6], 159, 42).lines) == 6
    assert heat_map(shelf[:90], 159, 42).cell > 1


def test_a_transfer_says_how_fast_it_is_and_what_is_left() -> None:
    moving = {"job_id": "43", "node": "n6", "home": False, "what": "files", "file": "data/x.npz",
              "done_bytes": 30_000_000, "total_bytes": 100_000_000,
              "began_at": 10.0, "first_bytes": 10_000_000, "at": 12.0}  # fmt: skip
    row = transfer_row(moving, {"name": "hello"})
    assert row == (
        "43",
        "hello",
        "to n6",
        "███▋         30%",
        "10 MB/s",
        "0:07",
        "files · data/x.npz · 30 MB of 100 MB",
    )
    resolving = transfer_row(
        {**moving, "total_bytes": 0, "done_bytes": 0, "first_bytes": 0, "home": True, "file": ""}, {}
    )
    assert resolving[2:] == ("from n6", "············   -", "", "", "files")


@pytest.mark.parametrize(
    ("job", "eta"),
    [
        ({"word": "PENDING", "promised_at": 1300.0}, "in 5:00"),
        ({"word": "PENDING", "promised_at": 900.0}, "soon"),
        ({"word": "PENDING"}, ""),
        ({"word": "RUNNING", "started_at": 400.0, "max_duration_s": 3600.0}, "≤ 50:00"),
        ({"word": "RUNNING", "started_at": 400.0}, ""),
        ({"word": "COMPLETED", "max_duration_s": 3600.0}, ""),
    ],
)
def test_when_a_job_starts_or_ends(job: dict[str, Any], eta: str) -> None:
    assert job_eta(job, 1000.0) == eta


def test_what_the_month_will_have_cost() -> None:
    almost_over = 1_788_220_800.0 - 7200  # 2026-09-01T00:00Z, less two hours
    assert month_left_s(almost_over) == 7200 and month_left_s(1_798_761_600.0 - 1) == 1  # a year's end, too
    cost = {"cost_usd": 4.0, "cap_usd": 5.0, "committed_usd": 4.5, "clouds": [{"name": "aws", "error": "no route"}]}
    bill = bill_of(cost, [{**MACHINE, "market": "on-demand"}, MACHINE], almost_over)
    assert (bill.hourly, bill.forecast, bill.machines) == (0.7, 5.4, 2)
    assert bill.sentence == "$0.70/h █████▋ ▏ $4.00 of $5.00, aws does not answer"
    assert "the budget ends it before" in bill.lines[1] and "$4.00 of $5.00 this month (80 %)" in bill.lines[0]
    assert Bill().sentence == "" and "no month's budget is set" in Bill().lines[0]
