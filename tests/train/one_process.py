"""What the gangs are compared with: the same training by one process, in plain torch, without us."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from digits import BATCH, MICRO, digits, flat, labels_in, loss_of, network, optimizer_of, statistics_of
from scenarios import STEPS

from beowulf.train import seed_of
from beowulf.train.order import epoch_order, reseed

LIMITS = {"f64": 1e-12, "f32": 1e-6}
DTYPES = {"f64": torch.float64, "f32": torch.float32}


@contextmanager
def one_thread() -> Iterator[None]:
    """Threads of so small a model wait for each other for longer than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def constant(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    return torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)


@one_thread()
def one_process(
    dtype: torch.dtype,
    steps: int = STEPS,
    data: Any = None,
    shuffle: bool = True,
    network: Callable[[torch.dtype], torch.nn.Module] = network,
    rate_of: Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler] = constant,
) -> Any:
    """Plain torch: the micro-batches of each global batch one after the other, their losses' sum over all labels."""
    data = digits(dtype) if data is None else data
    model = network(dtype).to(data[0][0].device)
    optimizer = optimizer_of(model)
    schedule = rate_of(optimizer)
    epoch = start = 0
    for step in range(steps):
        order = epoch_order(len(data), 3, epoch, shuffle)
        batch = order[start : start + BATCH]
        parts = torch.tensor_split(batch, -(-len(batch) // MICRO))
        firsts = [start + sum(map(len, parts[:index])) for index in range(len(parts))]
        micro_batches = [load(data, part, 3, epoch, first) for part, first in zip(parts, firsts, strict=True)]
        labels = sum(map(labels_in, micro_batches))
        for index, (x, y) in enumerate(micro_batches):
            torch.manual_seed(seed_of(3, step, index))
            outputs = model(x)
            if labels_in((x, y)):
                (loss_of(outputs, y) * labels_in((x, y)) / labels).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        start += BATCH
        if start >= len(data):
            epoch, start = epoch + 1, 0
            schedule.step()
    return flat(model), statistics_of(model)


def load(data: Any, part: torch.Tensor, seed: int, epoch: int, first: int) -> Any:
    reseed(seed_of(seed, epoch, first))
    items = [data[int(index)] for index in part]
    return torch.stack([x for x, _ in items]), torch.stack([y for _, y in items])
