"""One rank of the scenarios in ``test_modes.py``: python mode_ranks.py RANK WORLD FILE → results as JSON on rank 0."""

from __future__ import annotations

import datetime
import json
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks import powerSGD_hook
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import TensorDataset

from beowulf import train
from beowulf.train.modes import Choice, Communication
from beowulf.train.modes.changes import Changes
from beowulf.train.modes.mode import Part
from beowulf.train.modes.powersgd import PowerSGD

BATCH = 24
SPLIT = (12, 8, 4)  # by rank


def network() -> nn.Module:
    """Matrices and vectors: with buckets of a kilobyte, many buckets."""
    torch.manual_seed(3)
    layers: list[nn.Module] = [nn.Linear(48, 48), nn.Tanh()]
    for _ in range(3):
        layers += [nn.Linear(48, 48), nn.LayerNorm(48), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(48, 10)).double()


def data(step: int) -> tuple[Tensor, Tensor]:
    """The whole batch of a step; its classes can be told from it."""
    source = torch.Generator().manual_seed(1000 + step % 6)
    inputs = torch.randn(BATCH, 48, dtype=torch.float64, generator=source)
    return inputs, inputs[:, :10].argmax(dim=1)


def loss_sum(model: nn.Module, inputs: Tensor, wanted: Tensor) -> Tensor:
    return nn.functional.cross_entropy(model(inputs), wanted, reduction="sum")


def mean_loss(model: nn.Module) -> float:
    with torch.no_grad():
        return sum(float(loss_sum(model, *data(step))) for step in range(6)) / (6 * BATCH)


def optimizer_of(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)


def alone(steps: int) -> nn.Module:
    """What one process makes of the same batches."""
    model = network()
    optimizer = optimizer_of(model)
    for step in range(steps):
        optimizer.zero_grad()
        (loss_sum(model, *data(step)) / BATCH).backward()
        optimizer.step()
    return model


def together(choice: Choice, steps: int, split: tuple[int, ...] = SPLIT, **how: Any) -> tuple[nn.Module, Communication]:
    rank, world = dist.get_rank(), dist.get_world_size()
    model = DistributedDataParallel(network(), bucket_cap_mb=0.001)
    communication = Communication(model, choice, **how)
    optimizer = optimizer_of(model)
    first, mine = sum(split[:rank]), split[rank]
    for step in range(steps):
        inputs, wanted = data(step)
        communication.before_step(mine, BATCH)
        optimizer.zero_grad()
        part = slice(first, first + mine)
        (loss_sum(model, inputs[part], wanted[part]) * world / BATCH).backward()
        optimizer.step()
        communication.after_step(nullcontext())
    communication.settle(nullcontext())
    return model.module, communication


def distance(one: nn.Module, other: nn.Module) -> float:
    mine = torch.cat([parameter.detach().reshape(-1) for parameter in one.parameters()])
    yours = torch.cat([parameter.detach().reshape(-1) for parameter in other.parameters()])
    return float((mine - yours).norm() / yours.norm())


def spread(model: nn.Module) -> float:
    """How far the ranks' parameters are from each other."""
    flat = torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])
    least, most = flat.clone(), flat.clone()
    dist.all_reduce(least, op=dist.ReduceOp.MIN)
    dist.all_reduce(most, op=dist.ReduceOp.MAX)
    return float((most - least).abs().max())


def each_mode() -> dict[str, Any]:
    exact = alone(30)
    found: dict[str, Any] = {"start": mean_loss(network()), "alone": mean_loss(exact)}
    settings = {"powersgd": {"rank": 2, "exact_steps": 2}, "local-sgd": {"period": 5}, "diloco": {"period": 5}}
    for mode in ("exact", "fp16", "powersgd", "local-sgd", "diloco"):
        model, _ = together(Choice((mode,), settings), 30)
        found[mode] = {"distance": distance(model, exact), "spread": spread(model), "loss": mean_loss(model)}
    return found


def buckets_of_powersgd() -> dict[str, Any]:
    """Factors as wide as the matrices lose nothing, so many buckets must give what one process gives."""
    settings = {"powersgd": {"rank": 24, "exact_steps": 2}}
    counted: list[int] = []
    model = DistributedDataParallel(network(), bucket_cap_mb=0.001)
    model.register_comm_hook(counted, _count)
    loss_sum(model, *data(0)).backward()
    loss_sum(model, *data(0)).backward()  # buckets are laid out anew after the first pass
    shrunk, _ = together(Choice(("powersgd",), settings), 10)
    return {
        "buckets": counted[-1] + 1,
        "loss": mean_loss(shrunk),
        "alone": mean_loss(alone(10)),
        "spread": spread(shrunk),
    }


def _count(counted, bucket):  # type: ignore[no-untyped-def]  # DDP would take an annotation for a wrong one
    counted.append(bucket.index())
    future: torch.futures.Future[Tensor] = torch.futures.Future()
    future.set_result(bucket.buffer())
    return future


def through_session() -> dict[str, Any]:
    """Two epochs of six steps, micro-batches 3 : 2 : 1; an epoch ends settled."""
    inputs, wanted = (torch.cat(parts) for parts in zip(*map(data, range(6)), strict=True))
    found: dict[str, Any] = {}
    for words in ("", "fp16", "powersgd", "local-sgd", "diloco", "auto:fp16"):
        with train.session(environment={"BEOWULF_COMMUNICATION": words}) as bw:
            model = bw.wrap(network(), bucket_cap_mb=0.001)
            optimizer = optimizer_of(model)
            bw.pace.fix((3, 2, 1))
            loader = bw.loader(TensorDataset(inputs, wanted), batch_size=BATCH, micro_batch=4, shuffle=False)
            for _ in bw.epochs(5):
                for _, micro_batches in bw.steps(loader):
                    for some, classes in micro_batches:
                        bw.backward(nn.functional.cross_entropy(model(some), classes))
                    bw.step(optimizer)
            module = model.module  # type: ignore[union-attr]
            loss = mean_loss(module)
            found[words] = {"distance": distance(module, alone(30)), "spread": spread(module), "loss": loss}
    return found


def together_in_one_pass() -> dict[str, Any]:
    """The same as one by one, up to rounding, in one pass per rank and step."""
    inputs, wanted = (torch.cat(parts) for parts in zip(*map(data, range(6)), strict=True))
    calls: list[int] = []
    with train.session(environment={}) as bw:
        model = bw.wrap(network())
        optimizer = optimizer_of(model)
        bw.pace.fix((6, 4, 2))
        loader = bw.loader(TensorDataset(inputs, wanted), batch_size=BATCH, micro_batch=2, shuffle=False, together=9)
        for _ in bw.epochs(1):
            for _, micro_batches in bw.steps(loader):
                for some, classes in micro_batches:
                    calls.append(len(some))
                    bw.backward(nn.functional.cross_entropy(model(some), classes))
                bw.step(optimizer)
        return {"calls": calls, "distance": distance(model.module, alone(6))}  # type: ignore[arg-type,union-attr]


def once_rank_one() -> dict[str, Any]:
    """Gradients of rank 1, then one of rank 2: two factors must do for it again, after a step to turn to it."""
    torch.manual_seed(7)
    thin = torch.outer(torch.randn(48, dtype=torch.float64), torch.randn(48, dtype=torch.float64))
    wide = thin + torch.outer(torch.randn(48, dtype=torch.float64), torch.randn(48, dtype=torch.float64))
    mode, parameter, away = PowerSGD(rank=2, exact_steps=0), torch.zeros(48, 48), []
    for matrix in (thin, thin, thin, wide, wide, wide):
        bucket: Any = OneBucket(parameter, matrix.clone())
        away.append(float((mode.reduce(bucket, Part(1, 1, 1)).wait().view(48, 48) - matrix).norm() / matrix.norm()))
    return {"away": away}


class OneBucket:
    """As much of a GradBucket as a mode looks at; one matrix."""

    def __init__(self, parameter: Tensor, gradient: Tensor) -> None:
        self.parameter, self.gradient = parameter, gradient

    def index(self) -> int:
        return 0

    def is_last(self) -> bool:
        return True

    def buffer(self) -> Tensor:
        return self.gradient.view(-1)

    def gradients(self) -> list[Tensor]:
        return [self.gradient]

    def parameters(self) -> list[Tensor]:
        return [self.parameter]


def what_was_lost() -> dict[str, Any]:
    """Random matrices, one per rank, sent 200 times in factors of rank 2."""
    torch.manual_seed(dist.get_rank())
    matrix, parameter = torch.randn(48, 48, dtype=torch.float64), torch.zeros(48, 48)
    mean = matrix.clone()
    dist.all_reduce(mean)
    mean /= dist.get_world_size()
    mode, arrived = PowerSGD(rank=2, exact_steps=0), torch.zeros_like(matrix)
    first = 0.0
    for step in range(200):
        bucket: Any = OneBucket(parameter, matrix.clone())
        arrived += mode.reduce(bucket, Part(1, 1, 1)).wait().view(48, 48)
        first = float((arrived - mean).norm() / mean.norm()) if not step else first
    return {"first": first, "mean": float((arrived / 200 - mean).norm() / mean.norm())}


def one_local_step() -> dict[str, Any]:
    """With plain SGD and a period of 1, weighted averaging is the exact step."""
    rank, world = dist.get_rank(), dist.get_world_size()
    model = DistributedDataParallel(network())
    communication = Communication(model, Choice(("local-sgd",), {"local-sgd": {"period": 1}}))
    first, mine = sum(SPLIT[:rank]), SPLIT[rank]
    inputs, wanted = data(0)
    communication.before_step(mine, BATCH)
    (loss_sum(model, inputs[first : first + mine], wanted[first : first + mine]) * world / BATCH).backward()
    torch.optim.SGD(model.parameters(), lr=0.5).step()
    communication.after_step(nullcontext())
    single = network()
    (loss_sum(single, inputs, wanted) / BATCH).backward()
    torch.optim.SGD(single.parameters(), lr=0.5).step()
    return {"distance": distance(model.module, single)}


def halved() -> dict[str, Any]:
    """Single precision travels as 16-bit floats: by how much a mean change is wrong, beside the largest change, and
    whether all ranks got the same, for changes of any size."""
    rank, world = dist.get_rank(), dist.get_world_size()
    found: dict[str, Any] = {}
    for size in (1e-30, 1e-6, 1.0, 1e6):
        torch.manual_seed(3)
        begin = torch.zeros(1000, 3)
        everyone = [size * torch.randn(1000, 3) for _ in range(world)]
        changes = Changes([begin, begin.double()])
        mean, whole = changes.mean([everyone[rank], everyone[rank].double()], SPLIT[rank] / BATCH, None)
        wanted = sum(one.double() * part / BATCH for one, part in zip(everyone, SPLIT, strict=True))
        away = [float((one.double() - wanted).abs().max() / wanted.abs().max()) for one in (mean, whole)]
        least = mean.clone()
        dist.all_reduce(least, op=dist.ReduceOp.MIN)
        found[str(size)] = [*away, bool(torch.equal(least, mean))]
    return found


def loaded() -> dict[str, Any]:
    """Other parameters are loaded, nothing is learnt: how far a session's exchange moves them from there."""
    moved = {}
    for mode in ("local-sgd", "diloco"):
        with train.session(communication=Choice((mode,), {mode: {"period": 1}}), environment={}) as bw:
            model = bw.wrap(network())
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.fill_(5.0)
            bw.resume(train.Cursor())
            loader = bw.loader(TensorDataset(*data(0)), batch_size=BATCH, micro_batch=4)
            for inputs, wanted in bw.batches(loader, torch.optim.SGD(model.parameters(), lr=0.0)):
                bw.backward(nn.functional.cross_entropy(model(inputs), wanted))
            moved[mode] = max(float((parameter - 5.0).abs().max()) for parameter in model.parameters())
    return moved


def resumed() -> dict[str, Any]:
    """Diloco resumed in the middle of an epoch: from which step, and how far its end is from the unbroken run's."""
    with tempfile.TemporaryDirectory() as folder:
        unbroken, _ = diloco(folder)
        again, began = diloco(folder)
        return {"began": began, "away": distance(again, unbroken)}


def diloco(folder: str) -> tuple[nn.Module, int]:
    """The model after 30 steps, and the step they began from; what there is after 13 is kept in rank 0's ``folder``."""
    inputs, wanted = (torch.cat(parts) for parts in zip(*map(data, range(6)), strict=True))
    where = {"LOCAL_RANK": str(dist.get_rank())}
    choice = Choice(("diloco",), {"diloco": {"period": 4}})
    with train.session(communication=choice, checkpoint=folder, environment=where) as bw:
        model = bw.wrap(network())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)  # without a momentum, which would be each rank's own
        bw.restore()
        began = bw.cursor.step
        bw.pace.fix((6, 4, 2))
        loader = bw.loader(TensorDataset(inputs, wanted), batch_size=BATCH, micro_batch=2)
        for _ in bw.epochs(5):
            for _, micro_batches in bw.steps(loader):
                for some, classes in micro_batches:
                    bw.backward(nn.functional.cross_entropy(model(some), classes))
                bw.step(optimizer)
                if bw.cursor.step == 13:
                    bw.checkpoint()
        return bw.module, began


def auto(prices: dict[str, float]) -> dict[str, Any]:
    """With a clock that tells made-up prices; the ranks see different ones."""
    at = [0.0]
    made: list[Communication] = []

    def clock() -> float:
        at[0] += prices[made[0].name if made else "exact"] * (1 + 0.1 * dist.get_rank())
        return at[0]

    class Noted(Communication):
        def __init__(self, *arguments: Any, **how: Any) -> None:
            super().__init__(*arguments, **how)
            made.append(self)

    rank, world = dist.get_rank(), dist.get_world_size()
    model = DistributedDataParallel(network())
    communication = Noted(model, Choice(tuple(prices)), clock=clock)
    optimizer = optimizer_of(model)
    seen: list[str] = []
    while communication.trying:
        inputs, wanted = data(len(seen))
        seen.append(communication.name)
        communication.before_step(BATCH // world, BATCH)
        optimizer.zero_grad()
        part = slice(rank * BATCH // world, (rank + 1) * BATCH // world)
        (loss_sum(model, inputs[part], wanted[part]) * world / BATCH).backward()
        optimizer.step()
        communication.after_step(nullcontext())
    chosen: list[Any] = [None] * world
    dist.all_gather_object(chosen, communication.name)
    return {"chosen": chosen, "seen": seen, "spread": spread(model.module)}


def stock_powersgd() -> dict[str, Any]:
    """The control: torch's own hook on the same model. It needs numpy; gloo may abort the process."""
    model = DistributedDataParallel(network(), bucket_cap_mb=0.001)
    state = powerSGD_hook.PowerSGDState(None, matrix_approximation_rank=2, start_powerSGD_iter=2)
    model.register_comm_hook(state, powerSGD_hook.powerSGD_hook)
    for step in range(30):
        loss_sum(model, *data(step)).backward()
    return {"spread": spread(model.module)}


SCENARIOS: dict[str, Callable[[], dict[str, Any]]] = {
    "each_mode": each_mode,
    "buckets": buckets_of_powersgd,
    "what_was_lost": what_was_lost,
    "through_session": through_session,
    "together": together_in_one_pass,
    "once_rank_one": once_rank_one,
    "one_local_step": one_local_step,
    "halved": halved,
    "loaded": loaded,
    "resumed": resumed,
    "auto_fp16": lambda: auto({"exact": 1.0, "fp16": 0.6, "powersgd": 0.7}),
    "auto_exact": lambda: auto({"exact": 1.0, "fp16": 0.98, "local-sgd": 1.3}),
    "auto_local": lambda: auto({"exact": 1.0, "powersgd": 0.9, "local-sgd": 0.2, "diloco": 0.2}),
    "stock_powersgd": stock_powersgd,
}


def main() -> None:
    rank, world, file, *names = sys.argv[1:]
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", f"file://{file}", datetime.timedelta(seconds=280), rank=int(rank), world_size=int(world)
    )
    found = {name: SCENARIOS[name]() for name in names}
    if rank == "0":
        print(json.dumps(found))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
