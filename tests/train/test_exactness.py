"""Unequal ranks train as one process would: real processes over gloo, against a plain torch loop without us."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from digits import BATCH, MICRO, digits, relative_error, separate
from gang import SCENARIOS, run_gang
from one_process import DTYPES, LIMITS, one_process
from scenarios import SCENARIOS as NAMES
from scenarios import STEPS, Jittered
from torch.utils.data import TensorDataset


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """What each of three ranks had at the end of each scenario (one gang for all: importing torch takes longest)."""
    folder = tmp_path_factory.mktemp("gang")
    run_gang(3, SCENARIOS, str(folder), *NAMES)
    return {name: [torch.load(folder / f"{name}.{rank}", weights_only=False) for rank in range(3)] for name in NAMES}


@pytest.mark.parametrize("kind", ["f64", "f32"])
def test_a_split_of_6_1_1_trains_as_one_process_and_the_stock_split_does_not(outcomes: Any, kind: str) -> None:
    wanted, statistics = one_process(DTYPES[kind])
    errors = [relative_error(weights, wanted) for weights, _ in outcomes[f"ours-{kind}"]]
    control = [relative_error(weights, wanted) for weights, _ in outcomes[f"stock-{kind}"]]
    print(f"{kind}: relative weight error after {STEPS} steps {max(errors):.2g}; stock DDP {min(control):.2g}")
    assert max(errors) <= LIMITS[kind]
    assert not min(control) <= LIMITS[kind]
    assert min(control) > 0.01
    for _, merged in outcomes[f"ours-{kind}"]:
        assert relative_error(merged, statistics) <= LIMITS[kind]


@pytest.mark.parametrize(
    ("name", "control", "steps", "data"),
    [
        ("by-turns", "f64", STEPS, None),  # the split changes at every step, one rank has nothing to do now and then
        (
            "few",
            "few",
            6,
            digits(torch.float64, BATCH + MICRO + 5),
        ),  # an epoch ends with two micro-batches for three ranks
        (
            "workers",
            "workers",
            10,
            Jittered(torch.float64),
        ),  # loaded ahead by workers while the split changes; augmented
    ],
)
def test_any_splits_train_as_one_process(outcomes: Any, name: str, control: str, steps: int, data: Any) -> None:
    wanted, statistics = one_process(torch.float64, steps, data)
    for weights, merged in outcomes[name]:
        assert relative_error(weights, wanted) <= 1e-12
        assert relative_error(merged, statistics) <= 1e-12
    assert min(relative_error(weights, wanted) for weights, _ in outcomes[f"stock-{control}"]) > 1e-3


def test_micro_batches_without_any_label_add_nothing(outcomes: Any) -> None:
    data = digits(torch.float64)
    x, y = data.tensors[0][: 2 * BATCH], data.tensors[1][: 2 * BATCH].clone()
    y[MICRO : 2 * MICRO] = y[7 * MICRO : 8 * MICRO] = -100
    wanted, statistics = one_process(torch.float64, 2, TensorDataset(x, y), shuffle=False)
    for weights, merged in outcomes["nothing-to-learn"]:
        assert relative_error(weights, wanted) <= 1e-12
        assert relative_error(merged, statistics) <= 1e-12


def test_an_overflow_of_one_rank_is_left_out_by_all(outcomes: Any) -> None:
    answers, moved, scales = outcomes["overflow"][0]
    assert answers == moved == [True, True, False, True, True]
    assert scales[3] < scales[2]
    assert all(outcome == (answers, moved, scales) for outcome in outcomes["overflow"])


def test_a_rank_that_runs_out_of_memory_goes_on_in_smaller_passes_where_that_is_exact(outcomes: Any) -> None:
    """A real allocation fails in the middle of a step of three ranks."""
    wanted, _ = one_process(torch.float64, 8, network=separate)
    for rank, (weights, _, splits, most) in enumerate(outcomes["cut"]):
        assert relative_error(weights, wanted) <= 1e-12
        assert splits == [(2, 3, 3)] * 8
        assert (most == MICRO // 2) == (rank == 1)


@pytest.mark.parametrize(
    ("name", "splits"),
    [
        ("taken-over", [(2, 3, 3)] * 3 + [(3, 0, 5)] * 5),
        ("taken-over-by-an-idle-one", [(4, 0, 4)] + [(7, 1, 0)] * 7),  # in the step in which DDP lays out its buckets
    ],
)
def test_else_the_others_take_over_what_it_cannot_hold(outcomes: Any, name: str, splits: Any) -> None:
    """With BatchNorm and Dropout a smaller pass would be another training."""
    wanted, statistics = one_process(torch.float64, 8)
    for weights, merged, found, _ in outcomes[name]:
        assert relative_error(weights, wanted) <= 1e-12
        assert relative_error(merged, statistics) <= 1e-12
        assert found == splits


def test_the_slow_rank_gets_less_and_a_rank_that_slows_down_is_relieved(outcomes: Any) -> None:
    splits = outcomes["slow-rank"][0]
    assert all(found == splits for found in outcomes["slow-rank"])
    assert all(sum(split) == 12 for split in splits)
    assert splits[0] == (4, 4, 4)
    assert splits[19][2] <= 2 and min(splits[19][:2]) >= 4
    assert splits[36][0] <= 3 and splits[36][1] >= 6
