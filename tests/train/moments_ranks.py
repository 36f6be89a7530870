"""What two ranks of ``test_moments.py`` run: ``python moments_ranks.py FOLDER`` saves what each saw.

They share 12 micro-batches 9/3 and step their own ways, with Adam, which remembers more than a step.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset

from beowulf import train
from beowulf.train.modes import Choice, communication
from beowulf.train.modes.parameters import LocalSGD
from beowulf.train.moments import averaged

LOCAL = Choice(("local-sgd",), {"local-sgd": {"period": 4}})
AUTO = Choice(("exact", "local-sgd"), {"local-sgd": {"period": 1}})
SPLIT = (9, 3)
MIDDLE, STEPS = 10, 20


class Dear(LocalSGD):
    """Sharing takes so long that `exact` is cheaper."""

    def share(self, *arguments: Any) -> None:
        time.sleep(1.0)
        super().share(*arguments)


def data() -> TensorDataset:
    pictures, labels = load_digits(return_X_y=True)
    return TensorDataset(torch.tensor(pictures / 16.0), torch.tensor(labels))


class Run:
    def __init__(self, choice: Choice, checkpoint: str = "") -> None:
        self.bw = train.session(seed=3, communication=choice, checkpoint=checkpoint)
        torch.manual_seed(7)
        self.model = self.bw.wrap(nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)).double())
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-2)
        self.bw.restore(optimizer=self.optimizer)
        if self.bw.world > 1:
            self.bw.pace.fix(SPLIT)
        self.loader = self.bw.loader(data(), 48, 4)

    def until(self, step: int) -> None:
        for _ in self.bw.epochs(1000):
            for _, micro_batches in self.bw.steps(self.loader):
                for x, y in micro_batches:
                    self.bw.backward(nn.functional.cross_entropy(self.model(x), y))
                self.bw.step(self.optimizer)
                if self.bw.cursor.step == step:
                    self.bw.merge_statistics()
                    return

    def loss(self) -> float:
        """On all digits."""
        pictures, labels = data().tensors
        with torch.no_grad():
            return float(nn.functional.cross_entropy(self.model(pictures), labels))

    def weights(self) -> list[torch.Tensor]:
        return [one.detach().clone() for one in self.model.parameters()]

    def remembered(self) -> list[torch.Tensor]:
        return [one.clone() for one in averaged([self.optimizer])]


def main(folder: Path) -> None:
    found: dict[str, Any] = {}
    first = Run(LOCAL, str(folder / "checkpoint"))
    first.until(MIDDLE)
    found["own"] = first.remembered()
    first.bw.checkpoint()
    found["joined"] = first.remembered()
    first.until(STEPS)
    found["unbroken"], found["loss"] = first.weights(), first.loss()
    first.bw.checkpoints.close()
    second = Run(LOCAL, str(folder / "checkpoint"))
    found["began"] = second.bw.cursor.step
    second.until(STEPS)
    found["resumed"] = second.weights()
    second.bw.checkpoints.close()
    communication.KINDS["local-sgd"] = Dear
    third = Run(AUTO)
    third.until(40)
    found["mode"] = third.bw.reduction.communication.name  # type: ignore[attr-defined]
    found["after"], found["remembered after"] = third.weights(), third.remembered()
    torch.save(found, folder / f"{dist.get_rank()}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    dist.init_process_group("gloo")
    main(Path(sys.argv[1]))
