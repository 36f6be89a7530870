"""Train a small network on scikit-learn's handwritten digits, exactly, on ranks of any speed.

Every rank does as many micro-batches per step as it can in the time; the result is that of one process. Ends with an
error when fewer than 95 % of the test digits are read rightly.
"""

import json
import sys
from pathlib import Path

import numpy
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset

from beowulf import train

EPOCHS = 12
BATCH = 128  # over all ranks together
MICRO_BATCH = 4
GOAL = 0.95
SEED = 20


def main(bw: train.Session) -> int:
    data, test = digits()
    network = nn.Sequential(
        nn.Linear(64, 128),
        nn.BatchNorm1d(128),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Linear(128, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )
    model = bw.wrap(network)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    loader = bw.loader(data, batch_size=BATCH, micro_batch=MICRO_BATCH)
    bw.restore(optimizer=optimizer)
    for epoch in bw.epochs(EPOCHS):
        for x, y in bw.batches(loader, optimizer):
            loss = nn.functional.cross_entropy(model(x.to(bw.device)), y.to(bw.device))
            bw.backward(loss)
            bw.report(loss=loss)
        bw.checkpoint()
        right = accuracy(network, test, bw)
        bw.report(accuracy=right)
        say(bw, f"epoch {epoch + 1:2d}: test accuracy {100 * right:.2f} %, split {bw.pace.share(loader.micro_batches)}")
    right = accuracy(network, test, bw)  # of a run, too, that was resumed at its very end
    if bw.rank == 0:
        save(right, bw.world)
    return 0 if right >= GOAL else 1


def digits() -> "tuple[TensorDataset, TensorDataset]":
    """1,797 pictures of 8 × 8 points, shuffled alike on every rank; the last 360 are kept for the test."""
    pictures, labels = load_digits(return_X_y=True)
    order = numpy.random.default_rng(SEED).permutation(len(labels))
    x = torch.tensor(pictures[order] / 16.0, dtype=torch.float32)
    y = torch.tensor(labels[order])
    return TensorDataset(x[:-360], y[:-360]), TensorDataset(x[-360:], y[-360:])


def accuracy(network: nn.Module, test: TensorDataset, bw: train.Session) -> float:
    """Over all test digits; every rank reads its share of them."""
    x, y = (tensor[bw.rank :: bw.world].to(bw.device) for tensor in test.tensors)
    network.eval()
    with torch.no_grad():
        read = int((network(x).argmax(1) == y).sum())
    network.train()
    right, seen = bw.total(read, len(y))
    return right / seen


def save(right: float, ranks: int) -> None:
    results = Path("results")
    results.mkdir(exist_ok=True)
    (results / "accuracy.json").write_text(
        json.dumps({"accuracy": right, "ranks": ranks, "goal": GOAL}, indent=2) + "\n"
    )


def say(bw: train.Session, text: str) -> None:
    if bw.rank == 0:
        print(text, flush=True)


if __name__ == "__main__":
    with train.session(SEED) as session:
        code = main(session)
    sys.exit(code)
