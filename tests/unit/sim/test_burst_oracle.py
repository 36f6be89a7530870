"""What judges our renting: plans made beforehand can be carried out as they are, and nobody beats a proven optimum."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beowulf.model.cloud import Offer
from beowulf.sim import flat_cluster, generated

sys.path.insert(0, str(Path(__file__).parents[3] / "scripts" / "bench"))

from burst_ahead import foreseen
from burst_bound import bound
from burst_exact import exact
from burst_offline import COARSE_S, STEP_S, carried_out, coarse, tasks_of
from burst_oracle import Lab, Shape, Task, planned
from burst_trace import Setting, clairvoyant, impatient, ours, tally, with_deadlines

BENCH = Path(__file__).parents[3] / "scripts" / "bench" / "burst"
LARGE = Offer("aws", "us-east-1", "", "large", 8, 16384, hourly_usd=0.34, as_of="2026-09-06", source="test")
SMALL = Offer("gcp", "us-east1", "", "small", 4, 8192, hourly_usd=0.13, as_of="2026-09-06", source="test")
OFFERS = (replace(LARGE, egress_usd_per_gb=0.09), replace(SMALL, egress_usd_per_gb=0.12))
TIGHT = Setting(OFFERS, factor=1.0, grace_s=1800.0, now=1_788_652_800.0)  # 2026-09-06
LAB = flat_cluster(3, threads=8)
seeds = st.integers(0, 10_000)


@settings(max_examples=12, deadline=None)
@given(seeds, st.integers(0, 60))
def test_a_plan_made_beforehand_is_carried_out_in_time_for_what_it_says(seed: int, rounds: int) -> None:
    trace = with_deadlines(generated(LAB, 25, seed=seed, load=1.5), TIGHT, seed)
    plan = planned(tasks_of(trace, TIGHT), 3, 8, STEP_S, rounds=rounds)
    outcome = carried_out(trace, plan, LAB, TIGHT, STEP_S)
    bill, begin = tally(outcome), trace.jobs[0].submitted_at
    assert (bill.late, bill.jobs, bill.rented) == (0, 25, 25 - len(plan.places))
    starts = {id(one.job): one.started_at for one in outcome.ran}
    for number, place in plan.places.items():
        assert starts[id(trace.jobs[number])] == begin + place.start * STEP_S
    assert bill.cost_usd == pytest.approx(plan.usd, rel=0.02)  # a machine that idles may take the next one


@settings(max_examples=8, deadline=None)
@given(seeds)
def test_nobody_pays_less_than_the_optimum_that_was_proven(seed: int) -> None:
    trace = with_deadlines(coarse(generated(LAB, 10, seed=seed, load=1.5), 8), TIGHT, seed)
    tasks = tasks_of(trace, TIGHT)
    found = exact(tasks, 3, COARSE_S, most_s=20.0)
    assert found.gap == 0.0
    proven = tally(carried_out(trace, found.plan, LAB, TIGHT, COARSE_S))
    assert proven.late == 0 and proven.cost_usd >= found.least_usd - 1e-6
    assert bound(trace, LAB, TIGHT.rules().market).usd <= found.least_usd + 1e-6
    free = [replace(task, rent_usd=task.least_usd) for task in tasks]
    assert planned(free, 3, 8, COARSE_S, rounds=50).usd >= found.least_usd - 1e-6
    for way in (ours, clairvoyant, impatient):
        bill = tally(way(trace, LAB, TIGHT))
        assert bill.late or bill.cost_usd >= found.least_usd - 1e-6


@settings(max_examples=8, deadline=None)
@given(seeds, st.sampled_from([0.0, 900.0]))
def test_who_is_told_of_jobs_as_they_come_moves_nobody_that_has_started(seed: int, ahead_s: float) -> None:
    trace = with_deadlines(generated(LAB, 25, seed=seed, load=1.5), TIGHT, seed)
    tasks = tasks_of(trace, TIGHT, by_limits=True)
    whole = foreseen(tasks, 3, 8, STEP_S, ahead_s=ahead_s, rounds=5)
    assert tally(carried_out(trace, whole, LAB, TIGHT, STEP_S)).late == 0
    begin = trace.jobs[0].submitted_at
    for number, place in whole.places.items():
        job = trace.jobs[number]
        limit_at = begin + place.start * STEP_S + job.spec.max_duration_s
        assert limit_at <= job.submitted_at + job.spec.burst.deadline_s + 1e-6
    told_s = trace.jobs[15].submitted_at - begin - ahead_s
    fewer = foreseen(tasks[:15], 3, 8, STEP_S, ahead_s=ahead_s, rounds=5)
    for plan, other in ((fewer, whole), (whole, fewer)):
        for number, place in plan.places.items():
            if number < 15 and place.start * STEP_S < told_s:
                assert other.places[number] == place, "nobody knew of the sixteenth yet"


@settings(max_examples=8, deadline=None)
@given(seeds)
def test_ours_never_beats_the_optimum_of_those_who_keep_to_limits(seed: int) -> None:
    setting = replace(TIGHT, results_gb=(0.1, 10.0))
    trace = with_deadlines(coarse(generated(LAB, 10, seed=seed, load=1.5), 8), setting, seed)
    found, sure = (exact(tasks_of(trace, setting, by_limits=one), 3, COARSE_S, most_s=20.0) for one in (False, True))
    assert sure.gap == 0.0 and found.least_usd <= sure.least_usd + 1e-6
    bill = tally(ours(trace, LAB, setting))
    assert bill.late == 0 and bill.cost_usd >= sure.least_usd - 1e-6


def test_room_is_for_whole_jobs_on_nodes_of_their_own() -> None:
    lab, wide = Lab(2, 8, 20), Task(0.0, 300.0, 900.0, nodes=2, cpus=5, rent_usd=1.0)
    shape = Shape(0, 10, 5)
    first = lab.room(wide, shape)
    assert first is not None and first.start == 0 and sorted(first.nodes) == [0, 1]
    lab.put(wide, shape, first)
    second = lab.room(wide, shape)
    assert second is not None and second.start == 5, "5 and 5 threads are more than 8"
    assert lab.room(wide, Shape(0, 4, 5)) is None
    slim = lab.room(replace(wide, cpus=3), shape)
    assert slim is not None and slim.start == 0
    lab.put(wide, shape, first, -1)
    assert lab.room(wide, Shape(0, 4, 5)) == first


def test_the_bench_prints_regret_beside_the_plan_and_beside_what_is_proven() -> None:
    words = ["regret", "--short", "--nodes", "2", "--load", "8", "--grace", "0.25"]
    done = subprocess.run([sys.executable, str(BENCH), *words], capture_output=True, text=True, check=True).stdout
    rows = {
        name: (float(usd), int(late))
        for name, usd, late in re.findall(r"^(\w[\w ]+?) +\$ *([\d.]+) +(\d+) ", done, re.M)
    }
    knowing = {"beforehand", "by limits", "an hour ahead", "who is there"}
    assert set(rows) == {*knowing, "ours", "run times", "ten minutes"}
    assert all(late == 0 for _, late in rows.values())
    least = re.search(r"no plan costs less than \$([\d.]+), with jobs in pieces", done)
    assert least is not None and float(least[1]) <= rows["beforehand"][0] < rows["ten minutes"][0]
    assert "windows of 12 jobs" in done and "0 late; 0 not proven" in done
    assert rows["run times"][0] < rows["ours"][0], "whoever knows how long jobs run rents for fewer"
