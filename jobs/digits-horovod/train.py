"""Train a small network on scikit-learn's handwritten digits with Horovod, over MPI or over Gloo.

A stock Horovod script: runs alone, too. Ends with an error when fewer than 95 % of the test digits are read rightly.
"""

import json
import os
import sys
from pathlib import Path

import horovod.torch as hvd
import numpy
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

EPOCHS = 10
BATCH = 64  # over all ranks together, so that the result hardly depends on their number
GOAL = 0.95
SEED = 20


def main() -> int:
    hvd.init()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.manual_seed(SEED)
    over = "MPI" if hvd.mpi_enabled() else "Gloo"
    say(f"{hvd.size()} rank(s) over {over}, {torch.get_num_threads()} thread(s) each")
    train, test = digits()
    model = network()
    optimizer = hvd.DistributedOptimizer(
        torch.optim.AdamW(model.parameters(), lr=3e-3), named_parameters=model.named_parameters()
    )
    hvd.broadcast_parameters(model.state_dict(), root_rank=0)
    hvd.broadcast_optimizer_state(optimizer, root_rank=0)
    accuracies = fit(model, optimizer, train, test)
    if hvd.rank() == 0:
        save(accuracies, over)
    hvd.shutdown()
    return 0 if accuracies[-1] >= GOAL else 1


def digits() -> "tuple[TensorDataset, TensorDataset]":
    """1,797 pictures of 8 × 8 points, shuffled alike on every rank; the last 360 are kept for the test."""
    pictures, labels = load_digits(return_X_y=True)
    order = numpy.random.default_rng(SEED).permutation(len(labels))
    x = torch.tensor(pictures[order] / 16.0, dtype=torch.float32)
    y = torch.tensor(labels[order])
    return TensorDataset(x[:-360], y[:-360]), TensorDataset(x[-360:], y[-360:])


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))


def fit(model: nn.Module, optimizer: torch.optim.Optimizer, train: TensorDataset, test: TensorDataset) -> "list[float]":
    """The test accuracy after each epoch."""
    sampler: DistributedSampler = DistributedSampler(train, hvd.size(), hvd.rank(), seed=SEED)
    loader = DataLoader(train, batch_size=max(1, BATCH // hvd.size()), sampler=sampler)
    accuracies = []
    step = 0
    for epoch in range(1, EPOCHS + 1):
        sampler.set_epoch(epoch)
        first, total = step, 0.0
        for x, y in loader:
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step, total = step + 1, total + float(loss.detach())
        accuracies.append(accuracy(model, test))
        mean = total / (step - first)
        report(step=step, loss=mean, accuracy=accuracies[-1])
        say(f"epoch {epoch:2d}: loss {mean:.4f}, test accuracy {100 * accuracies[-1]:.2f} %")
    return accuracies


def accuracy(model: nn.Module, test: TensorDataset) -> float:
    """Over all test digits; every rank reads its share of them."""
    x, y = (tensor[hvd.rank() :: hvd.size()] for tensor in test.tensors)
    with torch.no_grad():
        right = (model(x).argmax(1) == y).sum()
    counts = hvd.allreduce(torch.stack([right, torch.tensor(len(y))]), op=hvd.Sum, name="accuracy")
    return (counts[0] / counts[1]).item()


def report(**values: float) -> None:
    """One line for the head, where it asked for reports."""
    file = os.environ.get("BEOWULF_REPORT")
    if file:
        with open(file, "a", encoding="utf-8") as lines:
            lines.write(json.dumps({key: round(value, 6) for key, value in values.items()}) + "\n")


def save(accuracies: "list[float]", over: str) -> None:
    results = Path("results")
    results.mkdir(exist_ok=True)
    body = {"accuracy": accuracies[-1], "per_epoch": accuracies, "ranks": hvd.size(), "over": over, "goal": GOAL}
    (results / "accuracy.json").write_text(json.dumps(body, indent=2) + "\n")


def say(text: str) -> None:
    if hvd.rank() == 0:
        print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
