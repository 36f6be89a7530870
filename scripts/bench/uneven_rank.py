"""One rank of an uneven bench, started by torchrun: does the phases of the plan, rank 0 writes what came out."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from uneven_arms import Arm, distance, make
from uneven_model import Digits, network, optimizer_of, quality


class Rank:
    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.digits = Digits()
        common = {"width": plan["width"], "batch": plan["batch"]}
        self.arms: dict[str, Arm] = {
            name: make(name if name == "stock" else "ours", self.digits, common, own)
            for name, own in plan["arms"].items()
        }
        self.found: dict[str, Any] = {"segments": [], "steps": dict.fromkeys(self.arms, 0)}

    def timed(self, arm: str, steps: int) -> float:
        """Seconds until the last rank is through ``steps`` of them."""
        dist.barrier()
        begin = time.perf_counter()
        for _ in range(steps):
            self.arms[arm].step()
        dist.barrier()
        self.found["steps"][arm] += steps
        return time.perf_counter() - begin

    def warm(self, steps: dict[str, int]) -> None:
        for arm, number in steps.items():
            self.timed(arm, number)

    def rounds(self, rounds: int, steps: int) -> None:
        """All arms in turn, forwards and backwards by turns (a, b, b, a, …)."""
        for number in range(rounds):
            for arm in list(self.arms)[:: 1 if number % 2 == 0 else -1]:
                seconds = self.timed(arm, steps)
                self.found["segments"].append({"arm": arm, "round": number, "steps": steps, "seconds": seconds})

    def calibrate(self, parts: list[float]) -> None:
        """Seconds every rank needs alone for these parts of the batch: forward, backward, update, no message."""
        model = network(self.plan["width"])
        optimizer = optimizer_of(model)
        mine = [self._alone(model, optimizer, max(1, round(part * self.plan["batch"]))) for part in parts]
        everyone: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(everyone, mine)
        self.found["alone"] = everyone
        self.found.setdefault("alones", []).append(everyone)

    def _alone(self, model: nn.Module, optimizer: torch.optim.Optimizer, samples: int) -> tuple[int, float]:
        inputs, wanted = self.digits.take(list(range(samples)))
        times = []
        for _ in range(3):
            dist.barrier()
            begin = time.perf_counter()
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), wanted).backward()
            optimizer.step()
            times.append(time.perf_counter() - begin)
        return samples, sorted(times[1:])[0]

    def losses(self) -> None:
        """What each arm has learnt, and how far its weights are from the first arm's (after as many steps)."""
        first = next(iter(self.arms.values()))
        self.found["quality"] = {}
        for name, arm in self.arms.items():
            arm.settle()
            away = distance(arm.module, first.module)
            self.found["quality"][name] = {**quality(arm.module, self.digits), "distance": away, **arm.facts()}

    def drift(self, arm: str, steps: int, file: str, quota_us: int) -> None:
        """A host's share changes; then the seconds of each step."""
        if dist.get_rank() == 0:
            Path(file).write_text(str(quota_us))
        self.found["drift"] = [self.timed(arm, 1) for _ in range(steps)]

    def converge(self, seconds: float, every: float) -> None:
        """Arms in turn, a stretch of ``every`` seconds each: (seconds trained, steps, loss, unseen) after each."""
        curves: dict[str, list[list[float]]] = {name: [] for name in self.arms}
        spent = dict.fromkeys(self.arms, 0.0)
        while min(spent.values()) < seconds:
            for name, arm in self.arms.items():
                stretch = 0.0
                while stretch < every:
                    stretch += self._agreed(self.timed(name, 1))
                spent[name] += stretch
                arm.settle()
                now = quality(arm.module, self.digits)
                curves[name].append([spent[name], self.found["steps"][name], now["loss"], now["unseen"], now["right"]])
        self.found["curves"] = curves

    def _agreed(self, seconds: float) -> float:
        told = torch.tensor([seconds], dtype=torch.float64)
        dist.broadcast(told, 0)
        return float(told)


def main() -> None:
    torch.set_num_threads(1)
    plan = json.loads(Path(os.environ["UNEVEN_PLAN"]).read_text())
    folder = Path(os.environ["UNEVEN_FOLDER"])
    dist.init_process_group("gloo")
    rank = Rank(plan)
    dist.barrier()
    (folder / f"ready-{dist.get_rank()}").write_text(str(os.getpid()))
    while not (folder / "go").exists():  # until the driver has put all ranks into their cgroups
        time.sleep(0.05)
    for phase in plan["phases"]:
        name, settings = phase["phase"], {key: value for key, value in phase.items() if key != "phase"}
        getattr(rank, name)(**settings)
        if dist.get_rank() == 0:
            print(f"{name} done", file=sys.stderr, flush=True)
    if dist.get_rank() == 0:
        (folder / "found.json").write_text(json.dumps(rank.found))
    dist.barrier()


if __name__ == "__main__":
    main()
