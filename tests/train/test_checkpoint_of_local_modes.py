"""Ranks that step their own ways keep what they have together: agreed at a step border, else what they last shared."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import local_ranks
import torch
from test_checkpoint import PATIENCE_S, Ranks, ranks, reports, whole_lines  # noqa: F401 (a fixture)

from beowulf.train import checkpoint_files as files

SCRIPT = Path(local_ranks.__file__)


def book(folder: Path, rank: int) -> list[dict[str, Any]]:
    return whole_lines(folder / "trace" / f"{rank}.jsonl")


def after(folder: Path, rank: int, step: int) -> dict[str, Any]:
    """The weights a rank had after that many steps."""
    return next(line for line in book(folder, rank) if line.get("step") == step)


def wait_for(condition: Callable[[], bool], gang: Ranks) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline and all(process.poll() is None for process in gang.processes)
        time.sleep(0.05)


def kept(folder: Path, rank: int) -> tuple[int, dict[str, Any], list[Any]]:
    """Step, weights, momentum."""
    found = files.newest(str(folder / f"node{rank}"))
    assert found is not None
    state = torch.load(found.state, weights_only=True)
    remembered = state["kept"]["optimizer"]["state"]
    return found.step, state["model"], [remembered[number]["momentum_buffer"] for number in sorted(remembered)]


def same(weights: dict[str, Any], line: dict[str, Any]) -> bool:
    return all(torch.equal(value, torch.tensor(line[name], dtype=value.dtype)) for name, value in weights.items())


def test_asked_for_a_checkpoint_the_ranks_agree_on_one_and_else_keep_what_they_last_shared(
    tmp_path: Path,
    ranks: Any,  # noqa: F811
) -> None:
    gang = ranks(2, "local-sgd", "10000", script=SCRIPT)
    wait_for(lambda: len(book(tmp_path, 0)) > 2, gang)
    gang.processes[0].send_signal(signal.SIGUSR1)
    wait_for(lambda: any("checkpoint" in line for line in reports(tmp_path, 1)), gang)
    wait_for(lambda: any("checkpoint" in line for line in reports(tmp_path, 0)), gang)
    (step, mine, momentum), (other_step, other, theirs) = kept(tmp_path, 0), kept(tmp_path, 1)
    assert step == other_step
    assert all(torch.equal(mine[name], other[name]) for name in mine), "it is of no rank in particular"
    assert all(map(torch.equal, momentum, theirs)) and any(one.any() for one in momentum), (
        "nor is the optimizer's state"
    )
    (tmp_path / "trace" / "stay").touch()
    wait_for(lambda: "stays" in book(tmp_path, 1)[-1], gang)
    stuck = book(tmp_path, 1)[-1]["stays"]
    wait_for(lambda: book(tmp_path, 0)[-1].get("step", 0) >= stuck, gang)  # and rank 1 does not come any more
    gang.processes[0].send_signal(signal.SIGUSR1)
    wait_for(lambda: gang.kept(0) > step, gang)
    later, mine, _ = kept(tmp_path, 0)
    assert later == stuck - (local_ranks.PERIOD - 1)
    assert same(mine, after(tmp_path, 0, later)) and same(mine, after(tmp_path, 1, later))
    assert not same(mine, after(tmp_path, 0, stuck))
    for process in gang.processes:
        process.terminate()
    assert gang.codes() == [128 + signal.SIGTERM] * 2
    second = ranks(2, "local-sgd", str(stuck), script=SCRIPT)
    assert second.codes() == [0, 0], "\n".join(second.said)
    assert [line["began"] for line in book(tmp_path, 1) if "began" in line] == [0, later]
