"""Traces over unequal devices: how they are read, what the placements are worth, and what holds whatever the trace.

Beside each property stands a planted defect that it finds.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beowulf.cli.root import run
from beowulf.model.errors import BadInput
from beowulf.model.rules import Rules
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler import PLACEMENTS, Memo, Objective, Plan, choosing, plan, replan, state
from beowulf.scheduler.claims import Views
from beowulf.scheduler.patience import Chosen, Patience
from beowulf.scheduler.policies import fastest
from beowulf.sim import (
    Failures,
    Outcome,
    Trace,
    generated_unequal,
    machines_of,
    measured,
    read_gavel,
    read_throughputs,
    replay,
    running,
)

MACHINES = "6 K80, 6 P100, 6 V100"
THROUGHPUTS = {
    "k80": {"('LM', 1)": {"null": 2.0}, "('LM', 2)": {"null": 0.0}, "('A3C', 1)": {"null": 5.0, "('LM', 1)": [1, 1]}},
    "v100": {"('LM', 1)": {"null": 8.0}, "('LM', 2)": {"null": 14.0}, "('A3C', 1)": {"null": 4.0}},
    "p100_unconsolidated": {"('LM', 1)": {"null": 1.0}},
}
LINES = """\
LM\tcd %s && python3 main.py\t--steps\t1\t800\t0.000000\t1
LM\tcd %s && python3 main.py\t--steps\t1\t800\t5.0\t2
A3C\tcd %s && python3 main.py\t--steps\t0\t100\t6.0\t3
GAN\tcd %s && python3 main.py\t--steps\t0\t100\t7.0\t1
"""

QUICK = settings(settings.get_profile("planted"), max_examples=5)


def read(lines: str = LINES, machines: str = "2 K80, 2 V100") -> tuple[Trace, Snapshot]:
    cluster = machines_of(machines)
    rates = read_throughputs(json.dumps(THROUGHPUTS), cluster, name="t.json")
    return read_gavel(lines, rates, cluster, name="t.trace"), cluster


def made(seed: int, jobs: int = 60, machines: str = MACHINES) -> tuple[Trace, Snapshot]:
    cluster = machines_of(machines)
    return generated_unequal(cluster, jobs, seed=seed), cluster


def went(seed: int, policy: str, placement: str, **how: Any) -> Outcome:
    trace, cluster = made(seed, **how)
    return replay(trace, cluster, Rules(policy, placement=placement, told=trace.told), audit=True)


def test_a_trace_of_gavel_is_read_as_steps_and_what_each_device_does_of_them() -> None:
    trace, _ = read()
    one, two, three = trace.jobs
    assert (one.spec.steps, one.rates, one.run_s) == (800, {"K80": 2.0, "V100": 8.0}, 100.0)
    assert one.steps_per_s({"K80"}) == 2.0 and one.steps_per_s({"K80", "V100"}) == 2.0
    assert two.spec.min_nodes == 2 and two.spec.resources.gpu_kinds == ("V100",)  # too large for a K80's memory
    assert three.rates == {"K80": 15.0, "V100": 12.0}  # in proportion: nobody measured three of them
    assert trace.left_out == {"are of a type whose throughput is not known": 1}
    later = "LM\tcd x\tfolder\t--steps\t1\t800\t2\t1.0\t0.5\t9.5\n"
    (job,) = read(later)[0].jobs
    assert (job.submitted_at, job.spec.min_nodes, job.spec.steps) == (9.5, 2, 800)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("LM\tx\n", "1:1: holds 2 columns"),
        (LINES + "LM\tx\t-n\t1\tmany\t0\t1\n", "5:1: holds something that is no number"),
        ("LM\tx\t-n\t1\tinf\t0\t1\n", "1:1: steps and scale factor are at least 1"),
    ],
)
def test_a_line_that_is_none_of_gavels_is_named(lines: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        read(lines)


@pytest.mark.parametrize("rate", ["NaN", "-1", "Infinity"])
def test_a_throughput_that_is_none_is_refused(rate: str) -> None:
    table = json.dumps({"v100": {"('LM', 1)": {"null": 0.5}}}).replace("0.5", rate)
    with pytest.raises(BadInput, match="no throughputs as Gavel writes them"):
        read_throughputs(table, machines_of("1 V100"), name="t.json")


def test_machines_in_a_few_words() -> None:
    cluster = machines_of("2 K80, 1 4xV100")
    assert [len(cluster.nodes[name].facts.gpus) for name in ("n1", "n2", "n3")] == [1, 1, 4]
    assert cluster.nodes["n3"].groups == ("V100",)
    for wrong in ("K80", "0 K80", "3 0xK80", "2 K80; 3 V100", ""):
        with pytest.raises(BadInput, match="number of machines"):
            machines_of(wrong)
    with pytest.raises(BadInput, match="say nothing of P100"):
        read_throughputs("{}", machines_of("1 P100"), name="t.json")


def test_the_command_compares_placements(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace, throughputs = tmp_path / "x.trace", tmp_path / "t.json"
    trace.write_text(LINES)
    throughputs.write_text(json.dumps(THROUGHPUTS))
    words = ["simulate", str(trace), "--gavel-throughputs", str(throughputs), "--machines", "3 K80, 2 V100"]
    assert run([*words, "--policy", "fifo/blind", "--policy", "short/makespan", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["policies"]
    assert told["short/makespan"]["completion_mean_s"] < told["fifo/blind"]["completion_mean_s"]
    for wrong in (["--policy", "fifo/luck"], ["--processors", "3"], ["--machines", "none"]):
        assert run([*words, *wrong]) == 2


@pytest.mark.parametrize("seed", range(3))
def test_who_looks_at_devices_is_done_in_half_the_time_and_nobody_later(seed: int) -> None:
    blind = measured(went(seed, "fifo", "blind", jobs=150))
    aware = measured(went(seed, "short", "makespan", jobs=150))
    assert aware.completion_mean_s <= 0.5 * blind.completion_mean_s
    assert aware.completion_p99_s <= blind.completion_p99_s


def test_what_was_learnt_from_jobs_that_ended_is_worth_nearly_as_much_as_what_was_told() -> None:
    trace, cluster = made(4, jobs=150)
    blind, learnt, told = (
        measured(replay(trace, cluster, Rules("easy", placement=placement, told=table))).completion_mean_s
        for placement, table in (("blind", {}), ("makespan", {}), ("makespan", trace.told))
    )
    assert told < blind and learnt < told + 0.5 * (blind - told)


@QUICK
@given(st.integers(0, 1000), st.sampled_from(["fastest", "makespan", "fairness", "cost"]))
def a_gang_is_of_one_kind(seed: int, placement: str) -> None:
    for one in starts(seed, placement):
        assert one.allocation.device


@QUICK
@given(st.integers(0, 1000), st.sampled_from(["easy", "short", "conservative"]))
def who_starts_has_no_faster_kind_free(seed: int, policy: str) -> None:
    """Nobody takes a slow device while as many fast ones lie idle that nobody is promised."""
    trace, cluster = made(seed)

    def look(snapshot: Snapshot, now: float, rules: Rules, memo: Memo | None) -> tuple[Plan, Memo]:
        decided, kept = replan(snapshot, now, rules, memo)
        for start in () if decided.reservations else decided.starts[:1]:  # the first saw the cluster as it is
            rates, spec = dict(trace.jobs[int(start.job_id) - 1].rates or {}), snapshot.jobs[start.job_id].spec
            for kind, rate in rates.items():
                free = sum(
                    node.groups == (kind,) and not snapshot.held.get(node.id) for node in snapshot.nodes.values()
                )
                assert rate <= rates[start.allocation.device] or free < spec.min_nodes
        return decided, kept

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "replan", look)
        replay(trace, cluster, Rules(policy, placement="fastest", told=trace.told))


@QUICK
@given(st.integers(0, 1000), st.sampled_from(["makespan", "fairness", "cost"]))
def everybody_gets_a_turn_and_no_promise_is_broken(seed: int, placement: str) -> None:
    outcome = went(seed, "easy", placement)
    assert not outcome.never and outcome.delayed == 0


@QUICK
@given(st.integers(0, 1000), st.sampled_from(["fastest", "makespan", "fairness"]))
def what_changed_is_enough(seed: int, placement: str) -> None:
    trace, cluster = made(seed, jobs=40)

    def check(snapshot: Snapshot, now: float, rules: Rules, memo: Memo | None) -> tuple[Plan, Memo]:
        decided, kept = replan(snapshot, now, rules, memo)
        assert decided == plan(snapshot, now, rules)
        assert kept.devices == state.devices_of(snapshot.nodes.values())
        return decided, kept

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "replan", check)
        replay(trace, cluster, Rules("short", placement=placement), Failures(0.0005, 6000.0, seed))


def starts(seed: int, placement: str) -> list[Any]:
    found: list[Any] = []
    trace, cluster = made(seed)

    def note(snapshot: Snapshot, now: float, rules: Rules, memo: Memo | None) -> tuple[Plan, Memo]:
        decided, kept = replan(snapshot, now, rules, memo)
        found.extend(decided.starts)
        return decided, kept

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "replan", note)
        replay(trace, cluster, Rules("easy", placement=placement, told=trace.told))
    return found


def for_ever(self: Patience, options: Any, free: Any, *_: Any) -> Chosen:
    return Chosen(options[0], None, 1.0, free[0] if free else None)


PROPERTIES: list[tuple[Callable[[], None], Any, str, Any]] = [
    (a_gang_is_of_one_kind, choosing, "on_device", lambda request, device: request),
    (who_starts_has_no_faster_kind_free, PLACEMENTS, "fastest", Objective(lambda there: (-fastest(there)[0],), False)),
    (everybody_gets_a_turn_and_no_promise_is_broken, Patience, "chosen", for_ever),
    (everybody_gets_a_turn_and_no_promise_is_broken, Views, "until", lambda views, end: views.bare),
    (what_changed_is_enough, state, "relearnt", lambda rates, *_: rates),
    (what_changed_is_enough, state, "_refitted", lambda *_: False),
]


@pytest.mark.parametrize("holds", dict.fromkeys(one[0] for one in PROPERTIES), ids=lambda holds: holds.__name__)
def test_it_holds(holds: Callable[[], None]) -> None:
    holds()


@pytest.mark.parametrize(("holds", "where", "name", "defect"), PROPERTIES, ids=[one[2] for one in PROPERTIES])
def test_a_planted_defect_is_found(
    holds: Callable[[], None], where: Any, name: str, defect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch = monkeypatch.setitem if isinstance(where, dict) else monkeypatch.setattr
    patch(where, name, defect)
    with pytest.raises((AssertionError, ExceptionGroup, ValueError, IndexError)):
        holds()
