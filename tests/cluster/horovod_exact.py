"""A job's script: the scenarios of tests/train under Horovod, four ranks. Saves each one's outcome by rank."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import horovod.torch as hvd
import torch
from digits import BATCH, IGNORED, MICRO, digits, flat, loss_of, network, optimizer_of, statistics_of
from scenarios import STEPS, ours, parts
from torch.utils.data import TensorDataset

UNEVEN = (5, 1, 1, 1)


def by_turns(step: int) -> tuple[int, ...]:
    """One rank has nothing to do now and then."""
    return (UNEVEN, (2, 2, 2, 2), (1, 5, 1, 1), (3, 0, 4, 1))[step % 4]


def stock(dtype: torch.dtype) -> Any:
    """The same split of the same samples under stock Horovod: local means, averaged over ranks."""
    model = network(dtype)
    optimizer = hvd.DistributedOptimizer(optimizer_of(model), named_parameters=model.named_parameters())
    for x, y in parts(digits(dtype), UNEVEN, hvd.rank(), STEPS):
        optimizer.zero_grad()
        loss_of(model(x), y).backward()
        optimizer.synchronize()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        with optimizer.skip_synchronize():
            optimizer.step()
    return flat(model), statistics_of(model)


def nothing_to_learn() -> Any:
    """The last rank's one micro-batch has no label at all: its mean loss is NaN."""
    x, y = (tensor[: 2 * BATCH].clone() for tensor in digits(torch.float64).tensors)
    y[MICRO : 2 * MICRO] = y[7 * MICRO : 8 * MICRO] = IGNORED
    return ours(torch.float64, lambda _: UNEVEN, 2, data=TensorDataset(x, y), shuffle=False)


def halved() -> Any:
    os.environ["BEOWULF_COMMUNICATION"] = "fp16"
    return ours(torch.float32, lambda _: UNEVEN)


SCENARIOS: dict[str, Callable[[], Any]] = {
    "ours-f64": lambda: ours(torch.float64, lambda _: UNEVEN),
    "ours-f32": lambda: ours(torch.float32, lambda _: UNEVEN),
    "stock-f64": lambda: stock(torch.float64),
    "stock-f32": lambda: stock(torch.float32),
    "by-turns": lambda: ours(torch.float64, by_turns),
    "nothing-to-learn": nothing_to_learn,
    "fp16": halved,
}


if __name__ == "__main__":
    hvd.init()
    assert hvd.size() == len(UNEVEN)
    torch.set_num_threads(1)
    folder = Path("results")
    folder.mkdir(exist_ok=True)
    for name, scenario in SCENARIOS.items():
        torch.save(scenario(), folder / f"{name}.{hvd.rank()}")
