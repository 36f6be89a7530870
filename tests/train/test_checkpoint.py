"""Training goes on from its last whole step, whichever rank was lost, with other ranks, to the same result."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import checkpoint_ranks
import numpy
import pytest
import torch
from gang import surroundings
from ports import hold_port

from beowulf import train
from beowulf.train import checkpoint_files as files

SCRIPT = Path(checkpoint_ranks.__file__)
SAMPLES, EPOCHS = 1797, 2
PATIENCE_S = 280.0


class Ranks:
    """Ranks on nodes of their own, as it were: each has its own folder for checkpoints, and its own reports."""

    def __init__(self, folder: Path, count: int, command: list[str]) -> None:
        self.held = hold_port()
        port = str(self.held.getsockname()[1])
        shared = surroundings(MASTER_ADDR="127.0.0.1", MASTER_PORT=port, WORLD_SIZE=str(count))
        self.folder = folder
        (folder / "trace").mkdir(exist_ok=True)
        self.processes = [
            subprocess.Popen(
                [sys.executable, command[0], str(folder / "trace"), *command[1:]],
                env={
                    **shared,
                    "RANK": str(rank),
                    "LOCAL_RANK": "0",
                    "BEOWULF_CHECKPOINT": str(folder / f"node{rank}"),
                    "BEOWULF_REPORT": str(folder / f"report{rank}"),
                },
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for rank in range(count)
        ]

    def codes(self) -> list[int]:
        self.said = [process.communicate(timeout=PATIENCE_S)[0] for process in self.processes]
        return [process.returncode for process in self.processes]

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        self.held.close()

    def kept(self, rank: int) -> int:
        found = files.newest(str(self.folder / f"node{rank}"))
        return found.step if found else 0


@pytest.fixture
def ranks(tmp_path: Path) -> Iterator[Any]:
    made: list[Ranks] = []

    def start(count: int, *arguments: str, script: Path | None = None) -> Ranks:
        command = [str(script)] if script else [str(SCRIPT), str(EPOCHS)]
        made.append(Ranks(tmp_path, count, [*command, *arguments]))
        return made[-1]

    yield start
    for gang in made:
        gang.close()


def whole_lines(file: Path) -> list[dict[str, Any]]:
    """Of a file that somebody may be writing to."""
    written = file.read_text() if file.exists() else ""
    return [json.loads(line) for line in written.splitlines(keepends=True) if line.endswith("\n")]


def lines(folder: Path) -> list[dict[str, Any]]:
    return [line for file in (folder / "trace").glob("*.jsonl") for line in whole_lines(file)]


def reports(folder: Path, rank: int) -> list[dict[str, Any]]:
    return whole_lines(folder / f"report{rank}")


def test_a_killed_rank_0_costs_nothing_and_others_go_on_to_the_same_result(tmp_path: Path, ranks: Any) -> None:
    """F10, without a head: three ranks, then two of which one was never there before."""
    first = ranks(3, "die", "0", "9")
    assert first.codes() == [-signal.SIGKILL, 1, 1]
    assert first.kept(1) == 9, "the survivors keep the last whole step\n" + first.said[1]
    assert "reset by peer" in first.said[1] or "closed by peer" in first.said[1]
    for node in (0, 2):
        shutil.rmtree(tmp_path / f"node{node}", ignore_errors=True)
    before = lines(tmp_path)
    assert {line["world"] for line in before} == {3}
    second = ranks(2)
    assert second.codes() == [0, 0], "\n".join(second.said)
    result = torch.load(tmp_path / "trace" / "result.pt")
    assert result["began"] == {"seed": 3, "epoch": 0, "step": 9, "samples": 9 * checkpoint_ranks.BATCH}
    for epoch in range(EPOCHS):
        seen = Counter(sample for line in lines(tmp_path) if line["epoch"] == epoch for sample in line["samples"])
        assert seen == Counter(range(SAMPLES)), "a sample was lost or repeated"
    alone = tmp_path / "alone"
    alone.mkdir()
    checkpoint_ranks.main(alone, EPOCHS, [])
    expected = torch.load(alone / "result.pt")
    assert result["rate"] == expected["rate"]
    for name, value in expected["model"].items():
        if "running" not in name and "tracked" not in name:
            torch.testing.assert_close(result["model"][name], value, rtol=1e-12, atol=1e-12)
        elif "running" in name:  # one rank's own estimate at the loss, forgotten since by the momentum
            torch.testing.assert_close(result["model"][name], value, rtol=1e-5, atol=1e-5)


def test_a_signal_makes_a_checkpoint_while_the_rank_waits_for_one_that_does_not_come(
    tmp_path: Path, ranks: Any
) -> None:
    """F28's signal, F11's survivors: rank 1 stays away from the exchange of step 8, as if it had lost its power."""
    gang = ranks(2, "hang", "1", "8")
    deadline = time.monotonic() + PATIENCE_S
    while sum(line["step"] == 7 for line in lines(tmp_path)) < 2:
        assert time.monotonic() < deadline and gang.processes[0].poll() is None
        time.sleep(0.1)
    gang.processes[0].send_signal(signal.SIGUSR1)
    begin = time.monotonic()
    while {"checkpoint": str(tmp_path / "node0" / "step-000000008"), "step": 8} not in reports(tmp_path, 0):
        assert time.monotonic() < deadline, "no checkpoint after the signal"
        time.sleep(0.05)
    print(f"a checkpoint {time.monotonic() - begin:.2f} s after the signal")
    assert gang.kept(0) == 8 and gang.kept(1) == 5
    assert gang.processes[0].poll() is None, "asking for a checkpoint ends nothing"
    for process in gang.processes:
        process.terminate()
    assert gang.codes() == [128 + signal.SIGTERM] * 2
    assert gang.kept(1) == 8, "what ends a rank asks it for a checkpoint first"


def test_a_checkpoint_says_what_it_lacks(tmp_path: Path) -> None:
    model = checkpoint_ranks.network()
    with train.session(checkpoint=str(tmp_path / "ckpt"), environment={}) as bw:
        with pytest.raises(train.Misuse, match=r"comes after bw\.wrap"):
            bw.restore()
        bw.wrap(model)
        with pytest.raises(train.Misuse, match="rate cannot be kept in a checkpoint"):
            bw.restore(rate=0.1)
        assert not bw.restore(optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
        bw.resume(train.Cursor(0, 0, 3, 48))
        bw.checkpoint()
    with train.session(checkpoint=str(tmp_path / "ckpt"), environment={}) as bw:
        bw.wrap(checkpoint_ranks.network())
        with pytest.raises(train.Misuse, match=r"holds optimizer besides the model, and bw\.restore was given nothing"):
            bw.restore()
        for _, micro_batches in bw.steps(bw.loader(checkpoint_ranks.Numbered(), 128, 16)):
            next(micro_batches)
            with pytest.raises(train.Misuse, match="between two steps"):
                bw.checkpoint()
            break


def test_what_is_asked_for_between_a_step_and_its_schedule_holds_both(tmp_path: Path) -> None:
    """The signal comes when the model has moved and the learning rate has not."""
    folder = str(tmp_path / "ckpt")
    with train.session(checkpoint=folder, environment={}) as bw:
        model = bw.wrap(checkpoint_ranks.network())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        bw.restore(optimizer=optimizer, schedule=schedule)
        for step, micro_batches in bw.steps(bw.loader(checkpoint_ranks.Numbered(), 128, 16)):
            for x, y, _ in micro_batches:
                bw.backward(torch.nn.functional.cross_entropy(model(x), y))
            bw.step(optimizer)
            if step == 3:
                os.kill(os.getpid(), signal.SIGUSR1)
                until(lambda: files.newest(folder) is not None, 0.5)  # it must not come, however long one waits
            schedule.step()
        until(lambda: files.newest(folder) is not None, PATIENCE_S)
    found = files.newest(folder)
    assert found is not None
    state = torch.load(found.state, weights_only=True)
    assert state["kept"]["schedule"]["last_epoch"] == state["cursor"]["step"] >= 4


def until(condition: Callable[[], bool], patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


def test_what_could_be_written_and_not_read_is_refused_at_once(tmp_path: Path) -> None:
    class Odd:
        def state_dict(self) -> dict[str, Any]:
            return {"best": numpy.float64(0.5)}

        def load_state_dict(self, state: Any) -> None: ...

    with train.session(checkpoint=str(tmp_path / "ckpt"), environment={}) as bw:
        bw.wrap(checkpoint_ranks.network())
        with pytest.raises(train.Misuse, match="odd cannot be kept in a checkpoint: its state_dict holds more than"):
            bw.restore(odd=Odd())


def test_workers_of_a_rank_end_at_a_signal_as_anybody_does(tmp_path: Path) -> None:
    """A forked data loader worker has no thread that listens."""
    hear, tell = os.pipe()
    with train.session(checkpoint=str(tmp_path / "ckpt"), environment={}):
        child = os.fork()
        if not child:
            os.write(tell, b".")
            time.sleep(600)
            os._exit(0)
        os.read(hear, 1)
        os.kill(child, signal.SIGTERM)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGTERM
        assert signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, None)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    os.close(hear)
    os.close(tell)
