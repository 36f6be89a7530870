"""A job's script: uneven ranks under Horovod against one process, and against stock Horovod on the same split.

LayerNorm, BatchNorm, Dropout and a masked loss; 20 steps on scikit-learn's digits. Writes ``results/exact.json``.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import horovod.torch as hvd
import torch
from sklearn.datasets import load_digits
from torch import nn

from beowulf import train

STEPS, BATCH, MICRO = 20, 64, 8
IGNORED = -100  # cross_entropy leaves such targets out
SPLITS = {2: (7, 1), 4: (5, 1, 1, 1)}
LOSS = nn.CrossEntropyLoss(ignore_index=IGNORED)


def data(kind: torch.dtype) -> torch.utils.data.TensorDataset:
    """Of every third sample the target is masked."""
    pictures, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(pictures[: STEPS * BATCH] / 16.0, dtype=kind), torch.tensor(labels[: STEPS * BATCH])
    y[::3] = IGNORED
    return torch.utils.data.TensorDataset(x, y)


def network(kind: torch.dtype) -> nn.Module:
    torch.manual_seed(3)
    first = [nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2)]
    return nn.Sequential(*first, nn.Linear(32, 32), nn.LayerNorm(32), nn.ReLU(), nn.Linear(32, 10)).to(kind)


def ours(
    kind: torch.dtype, split: tuple[int, ...], environment: dict[str, str], mode: str = "exact"
) -> tuple[torch.Tensor, torch.Tensor]:
    """(weights, BatchNorm's running statistics) after all steps."""
    with train.session(seed=5, environment=environment, communication=mode) as bw:
        model = bw.wrap(network(kind))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        loader = bw.loader(data(kind), BATCH, MICRO, count=lambda micro: (micro[1] != IGNORED).sum())
        bw.pace.fix(split)
        for _, micro_batches in bw.steps(loader):
            for x, y in micro_batches:
                bw.backward(LOSS(model(x), y))
            bw.step(optimizer, clip=1.0)
        assert bw.world == len(split)
        state = {name.replace("module.", ""): value for name, value in model.state_dict().items()}
        running = [value.reshape(-1) for name, value in state.items() if "running" in name]
        return flat(model), torch.cat(running)


def stock(kind: torch.dtype, split: tuple[int, ...]) -> torch.Tensor:
    """What Horovod's own averaging makes of the same split: the weights after all steps."""
    model = network(kind)
    optimizer = hvd.DistributedOptimizer(
        torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
        named_parameters=model.named_parameters(),
        backward_passes_per_step=split[hvd.rank()],
    )
    x, y = data(kind).tensors
    begin = MICRO * sum(split[: hvd.rank()])
    for step in range(STEPS):
        optimizer.zero_grad()
        for micro in range(split[hvd.rank()]):
            first = step * BATCH + begin + micro * MICRO
            part = slice(first, first + MICRO)
            (LOSS(model(x[part]), y[part]) / split[hvd.rank()]).backward()
        optimizer.step()
    return flat(model)


def flat(model: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])


def apart(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def main() -> int:
    hvd.init()
    split = SPLITS[hvd.size()]
    kinds = {"f64": torch.float64, "f32": torch.float32}
    gang = {name: ours(kind, split, dict(os.environ)) for name, kind in kinds.items()}
    halved = ours(torch.float32, split, dict(os.environ), "fp16")[0]
    control = {name: stock(kind, split) for name, kind in kinds.items()}
    rank = hvd.rank()
    hvd.shutdown()
    if rank == 0:
        found = {"ranks": len(split)}
        for name, kind in kinds.items():
            weights, running = ours(kind, (sum(split),), {})
            found[name] = {
                "weights": apart(gang[name][0], weights),
                "running": apart(gang[name][1], running),
                "stock": apart(control[name], weights),
            }
            found[name]["fp16"] = apart(halved.to(kind), weights)
        Path("results").mkdir()
        Path("results/exact.json").write_text(json.dumps(found, indent=1))
        print(found, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
