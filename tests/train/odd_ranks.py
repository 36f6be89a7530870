"""Models and shapes off the beaten track, which ranks of a gang train: ``python odd_ranks.py FOLDER NAME…``.

Each case also says how one process trains it in plain torch, and stock DDP over the same uneven split.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from digits import digits, flat, labels_in, loss_of, statistics_of
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import TensorDataset

from beowulf import train
from beowulf.train.order import Batch, block, epoch_order, reseed, seed_of

SEED, RANKS, CLIP = 3, 3, 1.0


class Choosy(nn.Module):
    """A micro-batch takes one of two ways; a third one nobody takes."""

    def __init__(self) -> None:
        super().__init__()
        self.ways = nn.ModuleList(nn.Linear(64, 16) for _ in range(3))
        self.end = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> Any:
        return self.end(torch.tanh(self.ways[int(x[0].sum() * 16) % 2](x)))


class Tied(nn.Module):
    """One matrix is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.there, self.back, self.again = (nn.Linear(*sizes, bias=False) for sizes in ((64, 10), (10, 64), (64, 10)))
        self.again.weight = self.there.weight

    def forward(self, x: torch.Tensor) -> Any:
        return self.again(x + torch.tanh(self.back(self.there(x))))


class Tokens(nn.Module):
    """Shades are words: an embedding whose gradients are sparse."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.end = nn.EmbeddingBag(17 * 64, 16, sparse=True, mode="sum"), nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> Any:
        return self.end(torch.tanh(self.words((x * 16).long() + 17 * torch.arange(64))))


class Recomputed(nn.Module):
    """Its middle is computed again when gradients are, Dropout and BatchNorm with it."""

    def __init__(self) -> None:
        super().__init__()
        self.begin, self.end = nn.Linear(64, 32), nn.Linear(32, 10)
        self.middle = nn.Sequential(nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 32))

    def forward(self, x: torch.Tensor) -> Any:
        return self.end(checkpoint(self.middle, self.begin(x), use_reentrant=False))


class Frozen(nn.Module):
    """One BatchNorm does not learn its statistics, another is passed twice; its momentum follows the labels' number."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen, self.shared, self.end = nn.BatchNorm1d(64), nn.BatchNorm1d(64), nn.Linear(64, 10)
        self.frozen.running_mean += 0.1

    def forward(self, x: torch.Tensor) -> Any:
        return self.end(self.shared(torch.relu(self.shared(self.frozen.eval()(x)))))


def plain() -> nn.Module:
    layers = (nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.3), nn.LayerNorm(32), nn.Linear(32, 10))
    return nn.Sequential(*layers)


Optimizers = Sequence[torch.optim.Optimizer]


def momentum(model: nn.Module) -> Optimizers:
    return [torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-2)]


def several(model: nn.Module) -> Optimizers:
    """As sparse gradients need it."""
    words = [one for name, one in model.named_parameters() if "words" in name]
    rest = [one for name, one in model.named_parameters() if "words" not in name]
    return [torch.optim.SparseAdam(words, lr=0.01), torch.optim.AdamW(rest, lr=0.01)]


def nothing_after(model: nn.Module, optimizers: Optimizers) -> tuple[Callable[[], None], list[nn.Module]]:
    return lambda: None, []


def rate_and_average(model: nn.Module, optimizers: Optimizers) -> tuple[Callable[[], None], list[nn.Module]]:
    """A learning rate's schedule, and a moving average of the weights."""
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizers[0], max_lr=0.2, total_steps=40)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))

    def after() -> None:
        schedule.step()
        average.update_parameters(model)

    return after, [average]


def other_momentum(model: nn.Module, optimizers: Optimizers) -> tuple[Callable[[], None], list[nn.Module]]:
    """BatchNorm's own momentum has a schedule."""

    def after() -> None:
        model.shared.momentum *= 0.9  # type: ignore[operator, union-attr]

    return after, []


def by_turns(step: int, count: int) -> tuple[int, ...]:
    """Some rank has nothing to do now and then."""
    draw = random.Random(step * 1000 + count)
    cuts = sorted(draw.randint(0, count) for _ in range(RANKS - 1))
    return tuple(end - begin for begin, end in zip([0, *cuts], [*cuts, count], strict=True))


@dataclass(frozen=True)
class Case:
    network: Callable[[], nn.Module] = plain
    samples: int = 333
    batch: int = 100
    micro: int = 16
    steps: int = 9
    optimizers: Callable[[nn.Module], Optimizers] = momentum
    after: Callable[[nn.Module, Optimizers], tuple[Callable[[], None], list[nn.Module]]] = nothing_after
    masked: bool = False
    accumulate: bool = False
    clip: float | None = CLIP
    first: tuple[int, ...] = ()  # the first step's split
    workers: int = 0
    options: tuple[str, ...] = ()
    compiled: bool = False

    def made(self) -> tuple[nn.Module, Optimizers, Callable[[], None], list[nn.Module]]:
        torch.manual_seed(7)
        model = self.network().double()
        optimizers = self.optimizers(model)
        return (model, optimizers, *self.after(model, optimizers))

    def data(self) -> TensorDataset:
        found = digits(torch.float64, self.samples)
        return found if self.masked else TensorDataset(found.tensors[0], found.tensors[1].clamp(min=0))

    def split(self, step: int, count: int) -> tuple[int, ...]:
        return self.first if self.first and step == 0 else by_turns(step, count)


def drawn_case(number: int) -> Case:
    """A shape that nobody thought of. BatchNorm needs two samples in every micro-batch, and stock DDP an uneven split
    to fail."""
    draw = random.Random(number)
    while True:
        samples, batch, micro = draw.randint(2, 120), draw.randint(2, 70), draw.randint(2, 24)
        whole = [size for size in (min(batch, samples), samples % batch) if size]
        if micro * RANKS < min(batch, samples) and all(size // -(-size // micro) >= 2 for size in whole):
            break
    masked, accumulate, clip = draw.random() < 0.5, draw.random() < 0.3, draw.choice([None, CLIP])
    return Case(samples=samples, batch=batch, micro=micro, steps=7, masked=masked, accumulate=accumulate, clip=clip)


CASES: dict[str, Case] = {
    "unused parameters": Case(Choosy, options=("find_unused_parameters",)),
    "unused parameters, run by the session": Case(Choosy, accumulate=True),
    "tied weights": Case(Tied),
    "sparse gradients, two optimizers": Case(Tokens, optimizers=several, clip=None),
    "sparse gradients of masked labels": Case(Tokens, optimizers=several, clip=None, masked=True),
    "schedule and moving average": Case(after=rate_and_average),
    "computed again": Case(Recomputed),
    "frozen, shared, and another momentum": Case(Frozen, after=other_momentum, first=(0, 4, 3)),
    "compiled": Case(compiled=True),
    "two workers": Case(workers=2),
    "more ranks than samples": Case(Tied, samples=2, batch=8, micro=1),
}


def case_of(name: str) -> Case:
    return drawn_case(int(name.partition(" ")[2])) if name.startswith("drawn ") else CASES[name]


def outcome(model: nn.Module, others: Sequence[nn.Module]) -> tuple[torch.Tensor, torch.Tensor]:
    """All weights, those of averages, too; all buffers."""
    return torch.cat([flat(one) for one in (model, *others)]), statistics_of(model)


def ours(case: Case) -> Any:
    bw = train.session(seed=SEED)
    network, optimizers, after, others = case.made()
    model = bw.wrap(network, **dict.fromkeys(case.options, True))
    if case.compiled:
        model = torch.compile(model, backend="aot_eager")
    more: dict[str, Any] = {"num_workers": case.workers} if case.workers else {}
    loader = bw.loader(case.data(), case.batch, case.micro, count=labels_in if case.masked else None, **more)
    bw.pace.fix(case.split(0, loader.micro_batches))
    for step, micro_batches in endless(bw, loader):
        if case.accumulate:
            bw.accumulate(micro_batches, lambda x, y: loss_of(model(x), y))
        else:
            for x, y in micro_batches:
                bw.backward(loss_of(model(x), y))
        bw.step(*optimizers, clip=case.clip)
        after()
        bw.pace.fix(case.split(step + 1, loader.micro_batches))
        if bw.cursor.step == case.steps:
            break
    bw.merge_statistics()
    return outcome(network, others)


def endless(bw: train.Session, loader: train.Loader) -> Iterator[Any]:
    for _ in bw.epochs(1000):
        yield from bw.steps(loader)


def batches(case: Case) -> Iterator[tuple[int, int, torch.Tensor, int]]:
    """(step, epoch, the epoch's order, where the batch starts)"""
    step = epoch = 0
    while True:
        order = epoch_order(case.samples, SEED, epoch, True)
        for start in range(0, case.samples, case.batch):
            yield step, epoch, order, start
            step += 1
            if step == case.steps:
                return
        epoch += 1


def alone(case: Case) -> Any:
    """Plain torch: the micro-batches of each global batch one after the other, their losses' sum over all labels."""
    network, optimizers, after, others = case.made()
    model = torch.compile(network, backend="aot_eager") if case.compiled else network
    data = case.data()
    for step, _, order, start in batches(case):
        batch = Batch(start, min(case.batch, case.samples - start), case.micro)
        parts = [order[slice(*batch.micro(index))] for index in range(batch.count)]
        counts = [labels_in((data.tensors[0], data.tensors[1][part])) for part in parts]
        for index, (part, count) in enumerate(zip(parts, counts, strict=True)):
            reseed(seed_of(SEED, step, index))
            outputs = model(data.tensors[0][part])
            if count:
                (loss_of(outputs, data.tensors[1][part]) * count / sum(counts)).backward()
        moved(case, network, optimizers, after)
    return outcome(network, others)


def moved(
    case: Case, network: nn.Module, optimizers: Iterable[torch.optim.Optimizer], after: Callable[[], object]
) -> None:
    """A step of stock torch, after the passes."""
    if case.clip is not None:
        nn.utils.clip_grad_norm_(network.parameters(), case.clip)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()
    after()


def stock(case: Case) -> Any:
    """DDP of torch: each rank passes its part of the batch at once, and gradients are averaged over ranks."""
    network, optimizers, after, others = case.made()
    model = DistributedDataParallel(network, find_unused_parameters=True)
    data = case.data()
    for step, _, order, start in batches(case):
        batch = Batch(start, min(case.batch, case.samples - start), case.micro)
        split = (max(1, batch.count - 2), int(batch.count > 1), int(batch.count > 2))
        mine = block(split, dist.get_rank()) or [0]  # who has nothing repeats, as samplers do
        reseed(seed_of(SEED, step, mine[0]))
        mine = order[slice(*batch.run(mine))]
        loss_of(model(data.tensors[0][mine]), data.tensors[1][mine]).backward()
        moved(case, network, optimizers, after)
    return outcome(network, others)


def unlike(**what: int) -> str:
    """What a session says to ranks that were told different things."""
    bw = train.session(seed=SEED + what.get("seed", 0) * dist.get_rank())
    model = bw.wrap(plain().double())
    data = digits(torch.float64, 64 + what.get("samples", 0) * dist.get_rank())
    try:
        for x, y in bw.batches(bw.loader(data, 32, 8), *momentum(model)):
            bw.backward(loss_of(model(x), y))
    except train.Misuse as error:
        return str(error)
    return "nothing"


def main(folder: Path, names: list[str]) -> None:
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    for name in names:
        if name.startswith("unlike "):
            found = unlike(**{name.partition(" ")[2]: 1})
        else:
            kind, _, case = name.partition(": ")
            found = (stock if kind == "stock" else ours)(case_of(case))
        torch.save(found, folder / f"{name}.{rank}")
        print(name, flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
