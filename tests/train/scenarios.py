"""What the ranks of a gang run: ``python scenarios.py FOLDER NAME…`` saves each scenario's outcome per rank."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
from digits import (
    BATCH,
    IGNORED,
    MICRO,
    digits,
    flat,
    labels_in,
    loss_of,
    network,
    on,
    optimizer_of,
    separate,
    statistics_of,
)
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import TensorDataset

from beowulf import train
from beowulf.train.order import Batch, block, epoch_order, reseed, seed_of

UNEVEN = (6, 1, 1)
STEPS = 20
CPU, GPU = torch.device("cpu"), torch.device("cuda")


def ours(dtype: torch.dtype, splits: Callable[[int], tuple[int, ...]], steps: int = STEPS, **more: Any) -> Any:
    """The weights after ``steps`` steps at the splits told, and BatchNorm's statistics merged."""
    bw = train.session(seed=3)
    model = bw.wrap(network(dtype))
    optimizer = optimizer_of(model)
    loader = bw.loader(more.pop("data", digits(dtype)), BATCH, MICRO, count=labels_in, **more)
    bw.pace.fix(splits(0))
    for step, micro_batches in endless(bw, loader):
        bw.pace.fix(splits(step + 1))
        for x, y in micro_batches:
            bw.backward(loss_of(model(x), y))
        bw.step(optimizer, clip=1.0)
        if bw.cursor.step == steps:
            break
    bw.merge_statistics()
    return flat(model), statistics_of(model)


def endless(bw: train.Session, loader: train.Loader) -> Iterator[Any]:
    for _ in bw.epochs(1000):
        yield from bw.steps(loader)


def stock(
    dtype: torch.dtype,
    device: torch.device = CPU,
    steps: int = STEPS,
    data: Any = None,
    split: tuple[int, ...] = UNEVEN,
) -> Any:
    """The same split of the same samples under stock DDP: local means, averaged over ranks."""
    model = DistributedDataParallel(network(dtype).to(device))
    optimizer = optimizer_of(model)
    data = on(device, digits(dtype)) if data is None else data
    for x, y in parts(data, split, dist.get_rank(), steps):
        loss_of(model(x), y).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return flat(model), statistics_of(model)


def parts(data: Any, split: tuple[int, ...], rank: int, steps: int) -> Iterator[Any]:
    """A rank's part of each of our global batches, in one piece and under the seed of its first micro-batch.

    Where there are fewer micro-batches than ranks, some do the first one again, as torch's sampler has it.
    """
    epoch = start = 0
    for step in range(steps):
        order = epoch_order(len(data), 3, epoch, True)
        batch = Batch(start, min(BATCH, len(data) - start), MICRO)
        usual = batch.count == sum(split)
        mine = block(split, rank) if usual else list(range(rank, batch.count, len(split))) or [0]
        chosen = torch.cat([order[slice(*batch.micro(index))] for index in mine])
        reseed(seed_of(3, step, mine[0]))
        items = [data[int(index)] for index in chosen]
        yield torch.stack([x for x, _ in items]), torch.stack([y for _, y in items])
        start += BATCH
        if start >= len(data):
            epoch, start = epoch + 1, 0


def overflow() -> Any:
    """One rank's third step overflows: what ``step`` answered, the loss scale and whether the weights moved."""
    bw = train.session(seed=3, loss_scaling=True)
    model = bw.wrap(network(torch.float32))
    optimizer = optimizer_of(model)
    loader = bw.loader(digits(torch.float32), BATCH, MICRO, count=labels_in)
    answers, moved, scales = [], [], [bw.scaler.get_scale()]
    for step, micro_batches in bw.steps(loader):
        before = flat(model)
        for x, y in micro_batches:
            loss = loss_of(model(x), y)
            bw.backward(loss * float("inf") if step == 2 and bw.rank == 1 else loss)
        answers.append(bw.step(optimizer))
        moved.append(not torch.equal(before, flat(model)))
        scales.append(bw.scaler.get_scale())
        if step == 4:
            break
    return answers, moved, scales


def nothing_to_learn() -> Any:
    """One rank's micro-batches have no label at all, the last one included: their mean loss is NaN."""
    data = digits(torch.float64)
    x, y = data.tensors[0][: 2 * BATCH], data.tensors[1][: 2 * BATCH].clone()
    y[MICRO : 2 * MICRO] = IGNORED
    y[7 * MICRO : 8 * MICRO] = IGNORED
    return ours(torch.float64, lambda _: UNEVEN, 2, data=TensorDataset(x, y), shuffle=False)


class Jittered(torch.utils.data.Dataset[Any]):
    """Random augmentation: what it draws must not depend on who loads the sample."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.data = digits(dtype, 400)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Any:
        x, y = self.data[index]
        return x + 0.1 * torch.randn_like(x), y


class Hungry(torch.nn.Module):
    """Takes a lot of address space per sample while samples go through; none of it is ever touched."""

    BYTES = 64 << 20

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> Any:
        y = self.module[0](x)  # type: ignore[index]
        torch.empty(len(x) * self.BYTES, dtype=torch.uint8)
        return self.module[1:](y)  # type: ignore[index]


@contextmanager
def short_of_memory(samples: int) -> Iterator[None]:
    """From here on this process cannot hold so many samples in a `Hungry`, but half of them."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + samples * Hungry.BYTES * 3 // 4, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def out_of_memory(network: Any, at: int, short: int, split: tuple[int, ...]) -> Any:
    """Rank ``short`` loses most of its memory at step ``at``: weights, statistics, splits, what each holds at once."""
    bw = train.session(seed=3)
    model = bw.wrap(Hungry(network(torch.float64)))
    optimizer = optimizer_of(model)
    loader = bw.loader(digits(torch.float64), BATCH, MICRO, count=labels_in)
    bw.pace.fix(split)
    splits = []
    with ExitStack() as stack:
        for step, micro_batches in endless(bw, loader):
            if step == at and bw.rank == short:
                stack.enter_context(short_of_memory(MICRO))
            bw.accumulate(micro_batches, lambda x, y: loss_of(model(x), y))
            splits.append(bw.pace.share(BATCH // MICRO))
            bw.step(optimizer, clip=1.0)
            if bw.cursor.step == 8:
                break
    bw.merge_statistics()
    return flat(model), statistics_of(model), splits, bw.accumulation.most


def slow_rank() -> Any:
    """The splits over time when rank 2 needs four times as long, and after rank 0 gets as slow: by a clock that goes
    with a rank's own work alone."""
    work_s = 0.0
    bw = train.session(seed=3)
    model = bw.wrap(torch.nn.Linear(64, 10))
    optimizer = optimizer_of(model)
    loader = bw.loader(digits(torch.float32), 48, 4, count=labels_in)
    splits = []
    with mock.patch("time.perf_counter", lambda: work_s):
        for step, micro_batches in endless(bw, loader):
            splits.append(bw.pace.share(12))
            for x, y in micro_batches:
                work_s += 0.04 if bw.rank == 2 or (bw.rank == 0 and step >= 20) else 0.01
                bw.backward(loss_of(model(x), y))
            bw.step(optimizer)
            if step == 36:
                break
    return splits


def by_turns(step: int) -> tuple[int, ...]:
    return ((6, 1, 1), (2, 3, 3), (1, 6, 1), (3, 0, 5))[step % 4]


SCENARIOS: dict[str, Callable[[], Any]] = {
    "ours-f64": lambda: ours(torch.float64, lambda _: UNEVEN),
    "ours-f32": lambda: ours(torch.float32, lambda _: UNEVEN),
    "stock-f64": lambda: stock(torch.float64),
    "stock-f32": lambda: stock(torch.float32),
    "by-turns": lambda: ours(torch.float64, by_turns),
    "few": lambda: ours(torch.float64, lambda _: UNEVEN, 6, data=digits(torch.float64, BATCH + MICRO + 5)),
    "workers": lambda: ours(torch.float64, by_turns, 10, data=Jittered(torch.float64), num_workers=1),
    "stock-few": lambda: stock(torch.float64, CPU, 6, digits(torch.float64, BATCH + MICRO + 5)),
    "stock-workers": lambda: stock(torch.float64, CPU, 10, Jittered(torch.float64)),
    "overflow": overflow,
    "nothing-to-learn": nothing_to_learn,
    "slow-rank": slow_rank,
    "cut": lambda: out_of_memory(separate, at=3, short=1, split=(2, 3, 3)),
    "taken-over": lambda: out_of_memory(network, at=3, short=1, split=(2, 3, 3)),
    "taken-over-by-an-idle-one": lambda: out_of_memory(network, at=1, short=2, split=(4, 0, 4)),
}
ON_GPUS: dict[str, Callable[[], Any]] = {
    "gpu-ours-f64": lambda: ours(torch.float64, lambda _: UNEVEN, data=on(GPU, digits(torch.float64))),
    "gpu-ours-f32": lambda: ours(torch.float32, lambda _: UNEVEN, data=on(GPU, digits(torch.float32))),
    "gpu-stock-f64": lambda: stock(torch.float64, GPU),
    "gpu-stock-f32": lambda: stock(torch.float32, GPU),
}


def backend() -> str:
    """nccl where every rank has a GPU of its own; it refuses two ranks on one, which gloo does not."""
    if not torch.cuda.is_available():
        return "gloo"
    torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    return "nccl" if torch.cuda.device_count() >= int(os.environ["WORLD_SIZE"]) else "gloo"


def main(folder: Path, names: list[str]) -> None:
    dist.init_process_group(backend())
    for name in names:
        torch.save((SCENARIOS | ON_GPUS)[name](), folder / f"{name}.{dist.get_rank()}")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
