"""What ranks of the checkpoint tests run: digits, with every global sample written down when its step is done.

``python checkpoint_ranks.py TRACE EPOCHS [die RANK STEP | hang RANK STEP | slow]``: rank RANK kills itself, or never
comes to the exchange, in the middle of step STEP.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import Dataset

from beowulf import train

BATCH, MICRO = 128, 16


class Numbered(Dataset):  # type: ignore[type-arg]
    """Each picture with its number in the data set."""

    def __init__(self) -> None:
        pictures, labels = load_digits(return_X_y=True)
        self.x, self.y = torch.tensor(pictures / 16.0, dtype=torch.float64), torch.tensor(labels)

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        return self.x[index], self.y[index], index


def network() -> nn.Module:
    torch.manual_seed(7)
    layers = (nn.Linear(64, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10))
    return nn.Sequential(*layers).double()


def misbehave(what: list[str], rank: int, step: int) -> None:
    if what and what[0] in ("die", "hang") and (rank, step) == (int(what[1]), int(what[2])):
        if what[0] == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(1e6)
    if what == ["slow"]:
        time.sleep(0.2)


def main(trace: Path, epochs: int, what: list[str]) -> None:
    with train.session(seed=3) as bw:
        model = bw.wrap(network())
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        loader = bw.loader(Numbered(), batch_size=BATCH, micro_batch=MICRO)
        bw.restore(optimizer=optimizer, schedule=schedule)
        began = bw.cursor
        with (trace / f"{os.getpid()}.jsonl").open("w") as book:
            for epoch in bw.epochs(epochs):
                for step, micro_batches in bw.steps(loader):
                    seen: list[int] = []
                    for x, y, numbers in micro_batches:
                        misbehave(what, bw.rank, step)  # before the exchange: after it the step would count
                        bw.backward(nn.functional.cross_entropy(model(x), y))
                        seen += numbers.tolist()
                    bw.step(optimizer)
                    line = {"epoch": epoch, "step": step, "rank": bw.rank, "world": bw.world, "samples": seen}
                    book.write(json.dumps(line) + "\n")
                    book.flush()
                    if step % 5 == 4:
                        bw.checkpoint()
                if bw.cursor.epoch == epoch:
                    raise AssertionError("the epoch did not end")
                schedule.step()
        if bw.rank == 0:
            state = {"model": bw.module.state_dict(), "began": began.as_dict(), "rate": schedule.get_last_lr()}
            torch.save(state, trace / "result.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
