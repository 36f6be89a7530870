"""Model parallel on stock torch: a network that reads handwritten digits, its layers spread over all ranks.

Each rank builds only its own stage. torch's pipelining sends activations forwards and gradients backwards in
micro-batches, so that all stages are at work at once (one forward, one backward). The losses are those of a run on one
node, digit by digit. Ends with an error below 95 % of the test digits read rightly.
"""

import json
import os
import sys
from pathlib import Path

import numpy
import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch import nn
from torch.distributed.pipelining import PipelineStage, Schedule1F1B

EPOCHS = 6
BATCH, MICRO_BATCHES = 96, 4
WIDTH, LAYERS = 96, 6
GOAL = 0.95
SEED = 20
TEST = 360


def main() -> int:
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    device = join()
    rank, world = dist.get_rank(), dist.get_world_size()
    mine = layers_of(rank, world)
    stage_module = stage(mine, rank == world - 1).to(device)
    count = sum(parameter.numel() for parameter in stage_module.parameters())
    print(f"rank {rank} of {world}: layers {mine.start} to {mine.stop - 1}, {count} parameters on {device}", flush=True)
    train, test = digits()
    losses, accuracy = fit(stage_module, train, test, device)
    if rank == world - 1:
        save(losses, accuracy, world)
    dist.destroy_process_group()
    return 0 if accuracy >= GOAL else 1


def join() -> torch.device:
    """Meet the other ranks; this rank's device."""
    for name, alone in (("RANK", "0"), ("WORLD_SIZE", "1"), ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "29512")):
        os.environ.setdefault(name, alone)
    if not torch.cuda.is_available():
        dist.init_process_group("gloo")
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    torch.cuda.set_device(device)
    dist.init_process_group("nccl", device_id=device)
    return device


def layers_of(rank: int, world: int) -> range:
    """Which of the layers this rank holds: neighbours, as even as whole layers go."""
    return range(rank * LAYERS // world, (rank + 1) * LAYERS // world)


def stage(mine: range, last: bool) -> nn.Sequential:
    """The layers ``mine``. Their weights depend on the layer alone: the same model at any number of ranks."""
    parts: list = []
    for layer in mine:
        torch.manual_seed(SEED + layer)
        linear = nn.Linear(64 if layer == 0 else WIDTH, WIDTH)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        parts += [linear, nn.ReLU()]
    if last:
        torch.manual_seed(SEED + LAYERS)
        parts.append(nn.Linear(WIDTH, 10))
    return nn.Sequential(*parts)


def digits() -> tuple:
    """``((pictures, labels) to learn from, (pictures, labels) to test with)``, alike on every rank."""
    pictures, labels = load_digits(return_X_y=True)
    order = numpy.random.default_rng(SEED).permutation(len(labels))
    x = torch.tensor(pictures[order] / 16.0, dtype=torch.float32)
    y = torch.tensor(labels[order])
    return (x[:-TEST], y[:-TEST]), (x[-TEST:], y[-TEST:])


def fit(module: nn.Module, train: tuple, test: tuple, device: torch.device) -> tuple:
    """The mean loss of each epoch (on the last rank) and the test accuracy (on every rank)."""
    rank, world = dist.get_rank(), dist.get_world_size()
    pipeline = PipelineStage(module, rank, world, device)
    schedule = Schedule1F1B(pipeline, MICRO_BATCHES, loss_fn=nn.functional.cross_entropy)
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3)
    draw = numpy.random.default_rng(SEED)
    losses = []
    accuracy = 0.0
    for epoch in range(1, EPOCHS + 1):
        order = torch.from_numpy(draw.permutation(len(train[1])))
        batches = order[: len(order) // BATCH * BATCH].split(BATCH)
        total = sum(step(schedule, optimizer, train[0][chosen], train[1][chosen], device) for chosen in batches)
        losses.append(total / len(batches))
        accuracy = judged(schedule, test, device)
        if rank == world - 1:
            report(epoch=epoch, step=epoch * len(batches), loss=losses[-1], accuracy=accuracy)
            print(f"epoch {epoch:2d}: loss {losses[-1]:.6f}, test accuracy {100 * accuracy:.2f} %", flush=True)
    return losses, accuracy


def step(
    schedule: Schedule1F1B, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor, device: torch.device
) -> float:
    """One optimizer step of the whole pipeline; the batch's mean loss on the last rank, 0 on the others."""
    optimizer.zero_grad()
    losses: list = []
    first, last = dist.get_rank() == 0, dist.get_rank() == dist.get_world_size() - 1
    inputs = (x.to(device),) if first else ()
    schedule.step(*inputs, target=y.to(device), losses=losses) if last else schedule.step(*inputs)
    optimizer.step()
    return float(torch.stack(losses).mean().detach()) if last else 0.0


def judged(schedule: Schedule1F1B, test: tuple, device: torch.device) -> float:
    """Accuracy over the test digits; the last rank knows it and tells the others."""
    first, last = dist.get_rank() == 0, dist.get_rank() == dist.get_world_size() - 1
    right = torch.zeros(1, device=device)
    losses: list = []
    for chosen in torch.arange(len(test[1])).split(BATCH):
        # The pipeline takes batches of one size only: a short one is filled up, and what was added is not counted.
        padded = torch.cat([chosen, chosen.new_zeros(BATCH - len(chosen))])
        inputs = (test[0][padded].to(device),) if first else ()
        target = test[1][padded].to(device)
        out = schedule.eval(*inputs, target=target, losses=losses) if last else schedule.eval(*inputs)
        if last:
            right += (out.argmax(1) == target)[: len(chosen)].sum()
    dist.broadcast(right, dist.get_world_size() - 1)
    return right.item() / len(test[1])


def report(**values: float) -> None:
    """One line for the head, where it asked for reports."""
    file = os.environ.get("BEOWULF_REPORT")
    if file:
        with open(file, "a", encoding="utf-8") as lines:
            lines.write(json.dumps({key: round(value, 6) for key, value in values.items()}) + "\n")


def save(losses: list, accuracy: float, world: int) -> None:
    results = Path("results")
    results.mkdir(exist_ok=True)
    body = {"accuracy": accuracy, "losses": losses, "stages": world, "goal": GOAL}
    (results / "pipeline.json").write_text(json.dumps(body, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
