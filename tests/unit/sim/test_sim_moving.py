"""Running jobs that move in a replay: what they did is kept, what it costs is lost, and nothing else.

Beside each property stands a planted defect that it finds.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from beowulf.cli.root import run
from beowulf.model.rules import Rules
from beowulf.sim import (
    Move,
    Moving,
    Outcome,
    Trace,
    TraceJob,
    generated_unequal,
    machines_of,
    measured,
    replay,
    running,
)
from beowulf.sim import moving as moves
from beowulf.sim.gavel import spec_of

MACHINES = machines_of("4 K80, 4 P100, 4 V100")
TERMS = Moving(3600.0, 90.0)
QUICK = settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def story(**spec: Any) -> Trace:
    """The fast one is busy for a thousand seconds; the other job begins on the slow one."""
    busy = TraceJob(0.0, 1000.0, spec_of("busy", 1000, 1, ("V100",), 1), "user", {"V100": 1.0})
    long = replace(spec_of("long", 100_000, 1, (), 1), **spec)
    rates = {"K80": 10.0, "V100": 100.0}
    told = {"long": {(kind, 1): rate for kind, rate in rates.items()}}
    return Trace((busy, TraceJob(1.0, 1000.0, long, "user", rates)), {}, told)


def went(trace: Trace, rules: Rules, cost_s: float = 60.0) -> Outcome:
    return replay(trace, machines_of("1 K80, 1 V100"), rules, moving=Moving(300.0, cost_s))


def rules_of(trace: Trace, **how: Any) -> Rules:
    return Rules("easy", **{"placement": "fastest", "told": trace.told, **how})


def test_a_job_goes_on_where_it_is_done_sooner() -> None:
    trace = story()
    stayed, moved = went(trace, rules_of(trace, moves=False)), went(trace, rules_of(trace))
    assert (stayed.moves, stayed.ran[-1].ended_at) == ((), 10_001.0)
    left_s = (100_000 - 9_990) / 100.0
    assert moved.moves == (Move(2, 1000.0, 9_990, "K80", "V100", pytest.approx(9_001.0 - 60.0 - left_s)),)
    last = moved.ran[-1]
    assert last.ended_at == pytest.approx(1000.0 + 60.0 + left_s)
    assert (last.started_at, last.tries) == (1.0, 1), "nothing it did was lost"
    found = measured(moved)
    assert (found.moves, found.requeued) == (1, 0)
    assert found.moves_gain_s == pytest.approx(stayed.ran[-1].ended_at - last.ended_at)


@pytest.mark.parametrize("spec", [{"checkpoint": None}, {"steps": 1}])
def test_who_keeps_nothing_or_is_nearly_done_stays(spec: dict[str, Any]) -> None:
    trace = story(**spec)
    assert went(trace, rules_of(trace)).moves == ()


def test_nobody_moves_for_less_than_a_few_times_what_it_costs() -> None:
    trace = story()
    assert went(trace, rules_of(trace), cost_s=60.0).moves and not went(trace, rules_of(trace, moves=False)).moves
    short = replace(trace, jobs=(trace.jobs[0], replace(trace.jobs[1], spec=replace(trace.jobs[1].spec, steps=11_500))))
    assert went(short, rules_of(trace)).moves == ()


@pytest.mark.parametrize(("at", "end"), [(10.0, 10_010.0), (100.0, 600.0)])
def test_a_pace_is_known_once_it_was_reported(at: float, end: float) -> None:
    """Nobody told it; two of the family run. Before they report, the next one takes the first device there is."""
    rates, jobs = {"K80": 1.0, "V100": 20.0}, []
    for kind in rates:
        spec = spec_of("one", 400_000, 1, (kind,), 1)
        jobs.append(TraceJob(0.0, 20_000.0, spec, "user", rates))
    late = TraceJob(at, 500.0, spec_of("one", 10_000, 1, (), 1), "user", rates)
    outcome = replay(Trace((*jobs, late), {}), machines_of("2 K80, 2 V100"), Rules("easy", moves=False))
    assert next(one for one in outcome.ran if one.job is late).ended_at == pytest.approx(end)


def went_all(seed: int, **how: Any) -> tuple[Trace, Outcome]:
    trace = generated_unequal(MACHINES, 40, seed=seed, load=0.7)
    return trace, replay(trace, MACHINES, rules_of(trace, **how), moving=TERMS)


@QUICK
@given(st.integers(0, 1000))
def no_work_is_lost_or_gained_but_what_a_move_costs(seed: int) -> None:
    trace, outcome = went_all(seed)
    assert len(outcome.ran) == len(trace.jobs)
    numbers = numbers_of(trace)
    for one in outcome.ran:
        begin, step, rates = one.started_at, 0, one.job.rates or {}
        mine = [move for move in outcome.moves if move.job_number == numbers[id(one.job)]]
        for move in mine:
            done = rates[move.device] * (move.at - begin)
            assert step + done - 1.001 <= move.step <= step + done + 0.001
            begin, step = move.at + TERMS.cost_s, move.step
        ends = {begin + (one.job.spec.steps - step) / rate for kind, rate in rates.items() if _may(mine, kind)}
        assert any(one.ended_at == pytest.approx(end, abs=0.01) for end in ends)


def numbers_of(trace: Trace) -> dict[int, int]:
    return {id(job): number for number, job in enumerate(trace.jobs, 1)}


def _may(mine: list[Move], kind: str) -> bool:
    """Whether the job may have ended there."""
    return not mine or mine[-1].there == kind


@QUICK
@given(st.integers(0, 1000))
def a_move_gains_and_keeps_the_pause(seed: int) -> None:
    trace, outcome = went_all(seed)
    numbers = numbers_of(trace)
    since = {numbers[id(one.job)]: one.started_at for one in outcome.ran}
    for move in outcome.moves:
        assert move.gain_s > TERMS.cost_s
        assert move.at >= since[move.job_number] + TERMS.every_s
        since[move.job_number] = move.at + TERMS.cost_s


@QUICK
@given(st.integers(0, 1000))
def the_same_trace_goes_the_same_way(seed: int) -> None:
    assert went_all(seed)[1] == went_all(seed)[1]


def forget(job: Any, now: float, asked: Any = moves.asked) -> Any:
    kept = asked(job, now)
    return replace(kept, checkpoint=replace(kept.checkpoint, step=0))


def keep_too_much(job: Any, now: float, asked: Any = moves.asked) -> Any:
    return asked(job, now + 20.0)


def some_time_ago(job: Any, now: float, asked: Any = moves.asked) -> Any:
    return asked(job, now - 60.0 * random.random())


def for_nothing(snapshot: Any, starts: Any, now: float, _: float, started: Any = running.world.started) -> Any:
    return started(snapshot, starts, now)


PROPERTIES: list[tuple[Callable[[], None], Any, str, Any]] = [
    (no_work_is_lost_or_gained_but_what_a_move_costs, moves, "asked", forget),
    (no_work_is_lost_or_gained_but_what_a_move_costs, moves, "asked", keep_too_much),
    (no_work_is_lost_or_gained_but_what_a_move_costs, running.world, "started", for_nothing),
    (a_move_gains_and_keeps_the_pause, moves, "wish", None),
    (the_same_trace_goes_the_same_way, moves, "asked", some_time_ago),
]
NAMES = ["forget", "keep_too_much", "for_nothing", "any_time", "some_time_ago"]


@pytest.mark.parametrize("holds", dict.fromkeys(one[0] for one in PROPERTIES), ids=lambda holds: holds.__name__)
def test_it_holds(holds: Callable[[], None]) -> None:
    holds()


def any_time(memo: Any, now: float, terms: Moving, but: Any, wish: Any = moves.wish) -> Any:
    return wish(memo, now, replace(terms, every_s=0.0), but)


@pytest.mark.parametrize(("holds", "where", "name", "defect"), PROPERTIES, ids=NAMES)
def test_a_planted_defect_is_found(
    holds: Callable[[], None], where: Any, name: str, defect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, name, defect or any_time)
    with pytest.raises((AssertionError, ExceptionGroup)):
        holds()


def test_the_command_compares_moving_with_staying(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = {"v100": {"('LM', 1)": {"null": 100.0}}, "k80": {"('LM', 1)": {"null": 10.0}}}
    (tmp_path / "t.json").write_text(json.dumps(table))
    lines = ["LM\tx\t--steps\t1\t100000\t0.0\t1", "LM\tx\t--steps\t1\t100000\t1.0\t1"]
    (tmp_path / "x.trace").write_text("\n".join(lines))
    words = ["simulate", str(tmp_path / "x.trace"), "--gavel-throughputs", str(tmp_path / "t.json"), "--json"]
    words += ["--machines", "1 K80, 1 V100", "--policy", "easy/fastest/moves", "--policy", "easy/fastest/stays"]
    assert run(words) == 0
    told = json.loads(capsys.readouterr().out)["policies"]
    assert [told[f"easy/fastest/{one}"]["moves"] for one in ("moves", "stays")] == [1, 0]
    assert told["easy/fastest/moves"]["makespan_s"] < told["easy/fastest/stays"]["makespan_s"]
    assert run([*words, "--move-cost", "9000"]) == 0  # so dear that the other one is done there first
    dear = json.loads(capsys.readouterr().out)["policies"]["easy/fastest/moves"]
    assert dear["makespan_s"] > told["easy/fastest/moves"]["makespan_s"]
    for wrong in ("easy/fastest/flies", "easy/fastest/moves/now"):
        assert run([*words, "--policy", wrong]) == 2
