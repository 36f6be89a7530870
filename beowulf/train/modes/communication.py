"""How the ranks of a model share what they learn: one mode by name, or the cheapest of those allowed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel

from beowulf.train.modes.choice import Choice
from beowulf.train.modes.gradients import Exact, HalfPrecision
from beowulf.train.modes.hook import hook
from beowulf.train.modes.mode import Lock, Mode, Part
from beowulf.train.modes.parameters import DiLoCo, LocalSGD
from beowulf.train.modes.powersgd import PowerSGD
from beowulf.train.modes.trial import Trial, cheapest, turns

if TYPE_CHECKING:
    from torch._C._distributed_c10d import GradBucket

KINDS: dict[str, Callable[..., Mode]] = {
    "exact": Exact,
    "fp16": HalfPrecision,
    "powersgd": PowerSGD,
    "local-sgd": LocalSGD,
    "diloco": DiLoCo,
}


class Communication:
    """Of one model in `DistributedDataParallel`; must be made before its first backward pass.

    Every rank calls ``before_step`` before the backward pass that synchronises and ``after_step`` after each optimizer
    step, a skipped one too, since both count. Before parameters are looked at (evaluation, checkpoint, end) every rank
    calls ``settle``. Gradients must come scaled as `Part` says. The optimizer is the caller's: after steps of a mode
    with a period each rank's remembers its own gradients, which takes equal parameters apart again (`train.moments`).
    """

    def __init__(
        self,
        model: DistributedDataParallel,
        choice: Choice,
        *,
        group: dist.ProcessGroup | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._group = group
        self._clock = clock
        self._parameters: list[Tensor] = [one for one in model.parameters() if one.requires_grad]
        self._modes = {name: KINDS[name](group, **_settings(choice, name)) for name in choice.modes}
        self._part = Part(1, 1, 1)
        self._samples = self._whole = self._steps = 0  # since parameters were last equal on all ranks
        self._last = 0.0
        self._trial: Trial | None = None
        self.name = ""
        if len(choice.modes) > 1:
            periods = {name: mode.period for name, mode in self._modes.items()}
            self._trial = Trial(periods, turns(periods))
        self._use("exact" if self._trial else choice.modes[0])
        if choice.modes != ("exact",):
            model.register_comm_hook(self, hook)

    @property
    def mode(self) -> Mode:
        return self._modes[self.name]

    @property
    def trying(self) -> bool:
        """Modes are still being measured."""
        return self._trial is not None

    def before_step(self, samples: int, batch: int) -> None:
        """This rank's part of the step that comes, and the whole of it."""
        self._part = Part(samples, batch, dist.get_world_size(self._group))

    @property
    def local(self) -> bool:
        """The next step moves every rank's parameters by its own gradients."""
        return bool(self.mode.period)

    def after_step(self, lock: Lock) -> bool:
        """``lock`` is held while parameters change. → whether they are one on all ranks now."""
        self._samples += self._part.samples
        self._whole += self._part.batch
        self._steps += 1
        turn = self._trial.turn if self._trial else None
        if self.mode.period and (turn.shares if turn else self._steps >= self.mode.period):
            self._share(lock)
        one = not (self.mode.period and self._steps)
        if self._trial is not None:
            self._observe(self._trial)
        return one

    @property
    def carried(self) -> dict[str, Any]:
        """What a checkpoint has to hold of it, alike on all ranks whenever their parameters are."""
        return {"mode": self.name, "tensors": list(self.mode.carried)}

    def loaded(self, carried: Mapping[str, Any]) -> None:
        """The parameters are new ones, alike on all ranks; ``carried`` is of their run (``{}``: nothing)."""
        self._use(self.name, carried["tensors"] if carried.get("mode") == self.name else ())

    def settle(self, lock: Lock) -> None:
        """Make the parameters of all ranks one, when they are not."""
        if self.mode.period and self._steps:
            self._share(lock)

    def _share(self, lock: Lock) -> None:
        self.mode.share(self._parameters, self._samples / self._whole, lock)
        self._samples = self._whole = self._steps = 0

    def _observe(self, trial: Trial) -> None:
        if torch.cuda.is_available() and self._parameters[0].is_cuda:
            torch.cuda.synchronize()
        now = self._clock()
        trial = trial.took(now - self._last)
        self._last = now
        self._trial = None if trial.over else trial
        wanted = self._agree(trial) if trial.over else trial.turn.mode
        if wanted != self.name:
            self._use(wanted)

    def _agree(self, trial: Trial) -> str:
        """The ranks' one verdict: a mode costs what it costs the slowest of them."""
        costs = torch.tensor(trial.costs(), dtype=torch.float64, device=self._parameters[0].device)
        dist.all_reduce(costs, op=dist.ReduceOp.MAX, group=self._group)
        return cheapest(tuple(trial.periods), costs.tolist())

    def _use(self, name: str, carried: Sequence[Tensor] = ()) -> None:
        self.name = name
        self._samples = self._whole = self._steps = 0
        self.mode.begin(self._parameters, carried)

    def reduce(self, bucket: GradBucket) -> Future[Tensor]:
        return self.mode.reduce(bucket, self._part)


def _settings(choice: Choice, name: str) -> dict[str, float]:
    # A trial begins with exact steps as it is.
    none = {"exact_steps": 0} if name == "powersgd" and len(choice.modes) > 1 else {}
    return {**none, **choice.settings.get(name, {})}
