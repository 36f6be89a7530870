"""Lightning's Trainer over uneven ranks: one of its batches is one optimizer step of the whole gang.

bw = train.session(seed=1)
uneven = Uneven(bw, bw.loader(dataset, batch_size=512, micro_batch=16))
trainer = Trainer(max_epochs=10, callbacks=[uneven], **uneven.options)
trainer.fit(module, uneven.batches)                       # a module with automatic optimization, as it is
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch.utils.data import DataLoader, IterableDataset

from beowulf.train.loading import Loader
from beowulf.train.session import Session
from beowulf.train.work import Misuse


class Tokens(IterableDataset):  # type: ignore[type-arg]
    """What Trainer takes for batches, and may fetch ahead: so many samples, none of them loaded yet."""

    def __init__(self, bw: Session, loader: Loader) -> None:
        self._bw, self._loader = bw, loader

    def __iter__(self) -> Iterator[torch.Tensor]:
        start = self._bw.cursor.samples
        while (batch := self._loader.batch_at(start)) is not None:
            start += batch.samples
            yield torch.empty(batch.samples)


class Uneven(Callback):
    """Trainer believes itself alone; the session shares every step out to the ranks and moves the parameters.

    ``options`` are for Trainer. Its clipping by norm counts for the whole batch; a rank that runs out of memory goes
    on as with ``bw.accumulate``; optimizers, schedules and the place in the data are in the session's checkpoints.
    """

    def __init__(self, bw: Session, loader: Loader) -> None:
        self._bw, self._loader = bw, loader
        self.batches = DataLoader(Tokens(bw, loader), batch_size=None)
        alone: Any = {"strategy": SingleDeviceStrategy(device=bw.device), "plugins": [LightningEnvironment()]}
        mute = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
        self.options: dict[str, Any] = {**alone, **(mute if bw.rank else {})}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not pl_module.automatic_optimization or trainer.accumulate_grad_batches != 1:
            raise Misuse("Uneven needs automatic optimization and accumulate_grad_batches=1: the loader does the rest")
        module: Any = pl_module
        self._train, self._optimizers, self._clip = module.training_step, trainer.optimizers, trainer.gradient_clip_val
        self._bw.wrap(module)
        schedules = (config.scheduler for config in trainer.lr_scheduler_configs)
        kept: dict[str, Any] = {f"optimizer{number}": one for number, one in enumerate(trainer.optimizers)}
        self._bw.restore(**kept, **{f"schedule{number}": one for number, one in enumerate(schedules)})
        progress: Any = trainer.fit_loop.epoch_progress.current
        progress.ready = progress.started = progress.processed = progress.completed = self._bw.cursor.epoch
        self._steps = self._bw.steps(self._loader)
        module.training_step = self._step
        module.backward = module.optimizer_zero_grad = lambda *_, **__: None
        module.optimizer_step = lambda epoch, index, optimizer, closure: closure()

    def _step(self, token: torch.Tensor, index: int = 0) -> torch.Tensor:
        _, micro_batches = next(self._steps)
        loss = self._bw.accumulation.run(micro_batches, lambda micro: self._loss(micro, index))
        self._bw.step(*self._optimizers, clip=self._clip)
        if self._loader.batch_at(self._bw.cursor.samples) is None:
            next(self._steps, None)  # the epoch's end: statistics are merged before Trainer evaluates
            self._steps = self._bw.steps(self._loader)
        return loss.requires_grad_()

    def _loss(self, micro: Any, index: int) -> torch.Tensor:
        found: Any = self._train(micro, index)
        return found["loss"] if isinstance(found, dict) else found  # type: ignore[no-any-return]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The last epoch's schedules have moved by now, as they have not when it ends."""
        self._bw.checkpoint()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._bw.checkpoint()
