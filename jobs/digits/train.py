"""Train a small network on scikit-learn's handwritten digits, on as many ranks as the environment says.

Reads RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT as every torch program does; runs alone without them.
Ends with an error when fewer than 95 % of the test digits are read rightly.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy
import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

EPOCHS = 10
BATCH = 64  # over all ranks together, so that the result hardly depends on their number
GOAL = 0.95
SEED = 20


def main() -> int:
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.manual_seed(SEED)
    device = join()
    rank, world = dist.get_rank(), dist.get_world_size()
    say(f"{world} rank(s), {device.type}, {torch.get_num_threads()} thread(s) each")
    train, test = digits()
    model = DistributedDataParallel(
        network().to(device), device_ids=[device.index] if device.index is not None else None
    )
    accuracies = fit(model, train, test, device)
    if rank == 0:
        save(accuracies, world)
    dist.destroy_process_group()
    return 0 if accuracies[-1] >= GOAL else 1


def join() -> torch.device:
    """Meet the other ranks; this rank's device."""
    for name, alone in (("RANK", "0"), ("WORLD_SIZE", "1"), ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "29511")):
        os.environ.setdefault(name, alone)
    if not torch.cuda.is_available():
        dist.init_process_group("gloo")
        return torch.device("cpu")
    # A rank that sees one GPU only (CUDA_VISIBLE_DEVICES) calls it 0, whatever its local rank.
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    torch.cuda.set_device(device)
    dist.init_process_group("nccl", device_id=device)
    return device


def digits() -> "tuple[TensorDataset, TensorDataset]":
    """1,797 pictures of 8 × 8 points, shuffled alike on every rank; the last 360 are kept for the test."""
    pictures, labels = load_digits(return_X_y=True)
    order = numpy.random.default_rng(SEED).permutation(len(labels))
    x = torch.tensor(pictures[order] / 16.0, dtype=torch.float32)
    y = torch.tensor(labels[order])
    return TensorDataset(x[:-360], y[:-360]), TensorDataset(x[-360:], y[-360:])


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))


def fit(model: nn.Module, train: TensorDataset, test: TensorDataset, device: torch.device) -> "list[float]":
    """The test accuracy after each epoch."""
    sampler: DistributedSampler = DistributedSampler(train, seed=SEED)
    loader = DataLoader(train, batch_size=max(1, BATCH // dist.get_world_size()), sampler=sampler)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    accuracies = []
    step = 0
    for epoch in range(1, EPOCHS + 1):
        sampler.set_epoch(epoch)
        begin = time.perf_counter()
        first, samples, total = step, 0, 0.0
        for x, y in loader:
            loss = nn.functional.cross_entropy(model(x.to(device)), y.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step, samples, total = step + 1, samples + len(y), total + float(loss.detach())
        seconds = time.perf_counter() - begin
        accuracies.append(accuracy(model, test, device))
        mean = total / (step - first)
        report(step=step, loss=mean, accuracy=accuracies[-1], samples=samples, step_s=seconds / (step - first))
        say(f"epoch {epoch:2d}: loss {mean:.4f}, test accuracy {100 * accuracies[-1]:.2f} %")
    return accuracies


def accuracy(model: nn.Module, test: TensorDataset, device: torch.device) -> float:
    """Over all test digits; every rank reads its share of them."""
    rank, world = dist.get_rank(), dist.get_world_size()
    x, y = (tensor[rank::world].to(device) for tensor in test.tensors)
    with torch.no_grad():
        right = (model.module(x).argmax(1) == y).sum()
    counts = torch.stack([right, torch.tensor(len(y), device=device)])
    dist.all_reduce(counts)
    return (counts[0] / counts[1]).item()


def report(**values: float) -> None:
    """One line for the head, where it asked for reports."""
    file = os.environ.get("BEOWULF_REPORT")
    if file:
        with open(file, "a", encoding="utf-8") as lines:
            lines.write(json.dumps({key: round(value, 6) for key, value in values.items()}) + "\n")


def save(accuracies: "list[float]", world: int) -> None:
    results = Path("results")
    results.mkdir(exist_ok=True)
    body = {"accuracy": accuracies[-1], "per_epoch": accuracies, "ranks": world, "goal": GOAL}
    (results / "accuracy.json").write_text(json.dumps(body, indent=2) + "\n")


def say(text: str) -> None:
    if dist.get_rank() == 0:
        print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
