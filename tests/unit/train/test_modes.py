"""Communication modes on three ranks of one machine (gloo), which share every batch 12 : 8 : 4."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beowulf.launch.environment import communication
from beowulf.specs.job import parse_job
from beowulf.train.modes.choice import MODES, VARIABLE, Choice, read_choice
from beowulf.train.modes.trial import COUNTED, MARGIN, SETTLING, Trial, cheapest, turns

RANKS = 3
HERE = Path(__file__).resolve().parent
TRIED = [
    "each_mode",
    "buckets",
    "what_was_lost",
    "once_rank_one",
    "together",
    "through_session",
    "one_local_step",
    "loaded",
    "resumed",
    "halved",
    "auto_fp16",
    "auto_exact",
    "auto_local",
]


def run_ranks(folder: Path, *scenarios: str) -> list[subprocess.CompletedProcess[str]]:
    env = {**os.environ, "PYTHONPATH": str(HERE.parents[2]), "OMP_NUM_THREADS": "1"}
    words = [str(RANKS), str(folder / "meeting"), *scenarios]
    argv = [[sys.executable, str(HERE / "mode_ranks.py"), str(rank), *words] for rank in range(RANKS)]
    started = [
        subprocess.Popen(one, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=folder)
        for one in argv
    ]
    try:
        said = [process.communicate(timeout=280) for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
    return [
        subprocess.CompletedProcess(process.args, process.returncode, *texts)
        for process, texts in zip(started, said, strict=True)
    ]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    pytest.importorskip("torch")
    done = run_ranks(tmp_path_factory.mktemp("modes"), *TRIED)
    assert [one.returncode for one in done] == [0] * RANKS, "\n".join(one.stderr for one in done)
    results: dict[str, Any] = json.loads(done[0].stdout)
    return results


def test_exact_is_what_one_process_computes(found: dict[str, Any]) -> None:
    assert found["each_mode"]["exact"]["distance"] < 1e-12


@pytest.mark.parametrize("mode", MODES)
def test_after_settling_all_ranks_have_the_same_parameters(found: dict[str, Any], mode: str) -> None:
    assert found["each_mode"][mode]["spread"] == 0.0


@pytest.mark.parametrize(("mode", "lag"), [("fp16", 0.01), ("powersgd", 0.4), ("local-sgd", 0.5), ("diloco", 0.5)])
def test_an_inexact_mode_learns_and_is_not_exact(found: dict[str, Any], mode: str, lag: float) -> None:
    """In 30 steps on few samples; the benches measure the gap on real data."""
    results = found["each_mode"]
    learnt = results["start"] - results["alone"]
    assert learnt > 1.5
    assert results[mode]["loss"] < results["alone"] + lag * learnt
    assert results[mode]["distance"] > 1e-9


def test_powersgd_takes_any_number_of_buckets(found: dict[str, Any]) -> None:
    """Factors as wide as the matrices lose nothing: what comes out must be what one process computes."""
    result = found["buckets"]
    assert result["buckets"] > 4
    assert result["loss"] == pytest.approx(result["alone"], rel=1e-9)
    assert result["spread"] == 0.0


def test_a_session_trains_in_the_mode_the_environment_names(found: dict[str, Any]) -> None:
    results = found["through_session"]
    assert results[""]["distance"] < 1e-12
    assert all(result["spread"] == 0.0 for result in results.values())
    assert all(result["distance"] > 1e-9 for words, result in results.items() if words)
    assert all(result["loss"] < 0.6 * found["each_mode"]["start"] for result in results.values())


def test_micro_batches_may_go_through_the_model_as_one(found: dict[str, Any]) -> None:
    assert found["together"]["calls"] == [12] * 6
    assert found["together"]["distance"] < 1e-12


@pytest.mark.parametrize("layer", ["BatchNorm1d(3)", "Dropout(0.1)", "LSTM(3, 3, num_layers=2, dropout=0.1)"])
def test_but_not_where_samples_meet(layer: str) -> None:
    from torch import nn

    from beowulf.train.together import refuse_meeting

    refuse_meeting(nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3), nn.Dropout(0.0)))
    with pytest.raises(ValueError, match=rf"1 is a {layer.partition('(')[0]}"):
        refuse_meeting(nn.Sequential(nn.Linear(3, 3), eval(f"nn.{layer}")))


def test_what_powersgds_factors_miss_is_sent_later(found: dict[str, Any]) -> None:
    """The same gradient again and again: its mean arrives, although each message holds a twelfth of it."""
    assert found["what_was_lost"]["first"] > 0.5
    assert found["what_was_lost"]["mean"] < 0.1


def test_powersgd_finds_its_whole_rank_again(found: dict[str, Any]) -> None:
    away = found["once_rank_one"]["away"]
    assert max(away[:3]) < 1e-9 and min(away[-1], away[-2]) < 1e-6


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("numpy") is None, reason="torch's own hook needs numpy")
def test_torchs_own_hook_fails_on_those_buckets(tmp_path: Path) -> None:
    """Why we do not use it. Should this fail, a newer torch has mended it, and ours may go."""
    pytest.importorskip("torch")
    done = run_ranks(tmp_path, "stock_powersgd")
    assert any(one.returncode for one in done)
    assert any("gloo" in one.stderr for one in done)


def test_parameters_are_averaged_by_the_samples_behind_them(found: dict[str, Any]) -> None:
    """One step of plain SGD on 12 : 8 : 4 samples, then the mean: exactly the step of the whole batch."""
    assert found["one_local_step"]["distance"] < 1e-12


def test_mean_changes_keep_three_digits_at_any_size_and_are_one_on_all_ranks(found: dict[str, Any]) -> None:
    for single, double, equal in found["halved"].values():
        assert 0 < single < 2e-3 and double < 1e-12 and equal


def test_a_resumed_training_sets_out_from_what_was_loaded(found: dict[str, Any]) -> None:
    """Not from what the script initialised: diloco's outer step would fling the parameters away from both."""
    assert found["loaded"] == {"local-sgd": pytest.approx(0.0, abs=1e-12), "diloco": pytest.approx(0.0, abs=1e-12)}


def test_diloco_resumed_is_diloco_unbroken(found: dict[str, Any]) -> None:
    """Its momentum is in the checkpoint: it belongs to all ranks, as the parameters do."""
    assert found["resumed"] == {"began": 13, "away": 0.0}


@pytest.mark.parametrize(("scenario", "mode"), [("fp16", "fp16"), ("exact", "exact"), ("local", "local-sgd")])
def test_auto_agrees_on_the_cheapest_allowed_mode(found: dict[str, Any], scenario: str, mode: str) -> None:
    result = found[f"auto_{scenario}"]
    assert result["chosen"] == [mode] * RANKS
    assert result["spread"] == 0.0, "a trial must leave equal parameters behind"


def test_auto_tries_nothing_that_is_not_allowed(found: dict[str, Any]) -> None:
    assert set(found["auto_fp16"]["seen"]) == {"exact", "fp16", "powersgd"}


def test_what_the_variable_says() -> None:
    assert read_choice("") == read_choice("exact") == read_choice("auto") == Choice()
    assert read_choice("fp16") == Choice(("fp16",))
    assert read_choice("auto:local-sgd, fp16") == Choice(("exact", "fp16", "local-sgd"))
    for wrong in ("fp8", "auto:fp8", "fp16:exact", "exact,fp16"):
        with pytest.raises(ValueError, match="exact, fp16, powersgd"):
            read_choice(wrong)


@pytest.mark.parametrize("mode", [*MODES, "auto"])
def test_what_the_head_sets_is_what_a_rank_reads(mode: str) -> None:
    allow = "{mode: auto, allow: [fp16, local-sgd]}" if mode == "auto" else f"{{mode: {mode}}}"
    wanted = parse_job(f"run: x\ncommunication: {allow}\n", name="job.yaml").spec.communication
    read = read_choice(communication(wanted).get(VARIABLE, ""))
    assert read == Choice(("exact", "fp16", "local-sgd") if mode == "auto" else (mode,))


@given(st.sets(st.sampled_from(MODES)))
def test_a_choice_survives_being_written(modes: set[str]) -> None:
    choice = Choice(tuple(mode for mode in MODES if mode in modes | {"exact"}))
    assert read_choice(choice.text) == choice


PERIODS = st.dictionaries(st.sampled_from(MODES[1:]), st.sampled_from([0, 4, 32]), max_size=4)


@given(PERIODS, st.floats(0.1, 10), st.floats(0, 100))
def test_a_trial_finds_the_cost_of_a_step(periods: dict[str, int], step_s: float, sharing_s: float) -> None:
    """Settling steps may take any time; what sharing adds is spread over the period."""
    trial = Trial(periods, turns(periods))
    before = ""
    while not trial.over:
        turn = trial.turn
        wild = 50.0 if not turn.counts else 0.0
        trial = trial.took(step_s + wild + sharing_s * turn.shares)
        before = turn.mode
    wanted = [step_s + (sharing_s / period if period else 0.0) for period in periods.values()]
    assert list(trial.costs()) == pytest.approx(wanted)
    assert not before or before in {"exact", *periods}


@given(PERIODS)
def test_the_last_turn_of_a_local_mode_shares(periods: dict[str, int]) -> None:
    plan = turns(periods)
    for mode, period in periods.items():
        mine = [turn for turn in plan if turn.mode == mode]
        assert len(mine) == SETTLING + COUNTED + bool(period)
        assert mine[-1].shares == bool(period) and not any(turn.shares for turn in mine[:-1])


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=5))
def test_exactness_is_given_up_for_more_than_noise_only(costs: list[float]) -> None:
    modes = MODES[: len(costs)]
    chosen = modes.index(cheapest(modes, costs))
    assert costs[chosen] <= min(costs) * (1 + MARGIN)
    assert all(cost > min(costs) * (1 + MARGIN) for cost in costs[:chosen])
