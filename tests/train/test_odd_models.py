"""Models and shapes off the beaten track train on uneven ranks as in one process, and under stock DDP they do not."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from digits import relative_error
from gang import run_gang
from odd_ranks import CASES, RANKS, alone, case_of
from one_process import one_thread

LIMIT = 1e-12
DRAWN = [f"drawn {random.randrange(10**6)}" for _ in range(4)]  # others every time; a failure names them
UNLIKE = {
    "unlike seed": r"seed is not the same on all ranks \(3, 4, 5\)",
    "unlike samples": r"length .* \(64, 65, 66\)",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What each of three ranks had at the end of each case, under us and under stock DDP."""
    place = tmp_path_factory.mktemp("odd")
    names = [f"{kind}: {name}" for name in (*CASES, *DRAWN) for kind in ("ours", "stock")]
    run_gang(RANKS, Path(__file__).with_name("odd_ranks.py"), str(place), *names, *UNLIKE)
    return place


def found(folder: Path, name: str) -> list[Any]:
    return [torch.load(folder / f"{name}.{rank}", weights_only=False) for rank in range(RANKS)]


@pytest.mark.parametrize("name", [*CASES, "what was drawn"])
@one_thread()
def test_it_trains_as_one_process_does_and_stock_ddp_does_not(folder: Path, name: str) -> None:
    for one in DRAWN if name == "what was drawn" else [name]:
        wanted, statistics = alone(case_of(one))
        for weights, merged in found(folder, f"ours: {one}"):
            assert relative_error(weights, wanted) <= LIMIT, one
            assert not len(statistics) or relative_error(merged, statistics) <= LIMIT, one
        assert not min(relative_error(weights, wanted) for weights, _ in found(folder, f"stock: {one}")) <= LIMIT, one


@pytest.mark.parametrize("name", UNLIKE)
def test_ranks_that_were_told_different_things_are_told_so(folder: Path, name: str) -> None:
    for said in found(folder, name):
        assert re.search(UNLIKE[name], said)
