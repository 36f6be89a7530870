"""What a training script trains with: its ranks, data, gradients and pace."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from beowulf.train.accumulation import Accumulation, LossOf, unpacking
from beowulf.train.cadence import Cadence
from beowulf.train.checkpoint import Checkpoints
from beowulf.train.cursor import Cursor
from beowulf.train.guards import Remembered, refuse_layers, refuse_strangers, refuse_unlike
from beowulf.train.loading import Loader, Position
from beowulf.train.memory import ran_out
from beowulf.train.moments import Moments
from beowulf.train.nothing import learning
from beowulf.train.observing import Observing
from beowulf.train.order import Batch
from beowulf.train.pace import Pace
from beowulf.train.reduction import Reduction
from beowulf.train.reports import Reports
from beowulf.train.statistics import Statistics
from beowulf.train.together import refuse_meeting
from beowulf.train.update import update
from beowulf.train.work import Misuse, Work

BY_ITSELF = "let bw.accumulate(micro_batches, loss_of) run them, or make micro_batch smaller"


class Session:
    """What a script trains with. ``step_lock`` is held exactly while parameters, optimizer and cursor change."""

    def __init__(
        self, seed: int, device: torch.device, reduction: Reduction, pace: Pace, reports: Reports, loss_scaling: bool
    ) -> None:
        self.device, self.reduction, self.pace, self.reports = device, reduction, pace, reports
        self.rank, self.world = reduction.rank, reduction.world
        self.cursor = Cursor(seed)
        self.step_lock = threading.RLock()
        self.scaler = torch.amp.GradScaler(device.type, enabled=loss_scaling)
        self.model: nn.Module | None = None
        self.module = nn.Module()  # the model as it was given
        self.checkpoints = Checkpoints(self, "", writes=False)
        self.apart = False  # ranks stepped their own ways since parameters were last one
        self.moving = False  # in the middle of a change of the parameters, or left there by an error
        self.moved: Any = None  # the mark after the last one, or after loading
        self.border = threading.Event()  # set while the script has nothing left to do after the last step
        self.statistics = Statistics(self.module, self.rank)
        self._remembered = Remembered(self.module)
        self._parameters: dict[int, nn.Parameter] = {}  # that learn, by their ids
        self.observing = Observing(device, reports)
        self.times = self.observing.times
        self.work: Work | None = None  # the step that is being done
        self.accumulation = Accumulation(self)
        self.moments = Moments(self)
        self._given: Generator[Any, None, None] | None = None  # its micro-batches
        self._loops = 0
        self.cadence = Cadence(os.environ, self.rank)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is not None and ran_out(error):
            self.accumulation.tell(BY_ITSELF)
        if kind is None:
            self.close()
        else:  # after an error the others cannot be waited for: the process ends, and the gang with it
            self.checkpoints.rescue()

    def close(self) -> None:
        """The training is done: write the last report, leave the others."""
        self.reports.flush()
        self.checkpoints.close()
        self.reduction.close()

    def wrap(self, module: nn.Module, **options: Any) -> nn.Module:
        """``module`` on this rank's device, as a DistributedDataParallel (``options`` are its), alike on every rank."""
        if self.model is not None:
            raise Misuse("a session trains one model: put several into one torch.nn.ModuleDict and wrap that")
        refuse_layers(module)
        self.module = module
        self.model = self.reduction.wrap(module.to(self.device), self.device, options)
        self.statistics, self._remembered = Statistics(module, self.rank), Remembered(module)
        self._parameters = {id(parameter): parameter for parameter in learning(module)}
        for parameter in self._parameters.values():
            parameter.register_post_accumulate_grad_hook(self._mark_ready)  # type: ignore[no-untyped-call]
        return self.model

    def loader(self, dataset: Any, batch_size: int, micro_batch: int, **options: Any) -> Loader:
        """``batch_size`` samples per step over all ranks together; see ``Loader`` for the options."""
        return Loader(dataset, batch_size, micro_batch, **options)

    def epochs(self, count: int) -> Iterator[int]:
        """Epochs 0 … count - 1, from where the cursor stands."""
        while self.cursor.epoch < count:
            epoch = self.cursor.epoch
            yield epoch
            if self.cursor.epoch == epoch:
                raise Misuse(
                    f"epoch {epoch} was left before its end: take all of bw.steps(loader), or leave bw.epochs, too"
                )

    def steps(self, loader: Loader) -> Iterator[tuple[int, Iterator[Any]]]:
        """The rest of the cursor's epoch: (step, this rank's micro-batches) each. At its end BatchNorm is merged."""
        if loader.together > 1:
            refuse_meeting(self.module)
        refuse_unlike(self.reduction, {**self.cursor.as_dict(), **loader.facts})
        loop = self._start_over(loader)
        while True:
            batch = loader.batch_at(self.cursor.samples)
            if batch is None:
                break
            if self.pace.border(loader.micro_batches):
                self.checkpoint()
            yield self.cursor.step, self._micro_batches(loader, batch)
            if self._loops != loop:
                raise Misuse("another loop over bw.steps was begun inside this one: finish one before the next")
            if self.work is not None:
                raise Misuse(f"step {self.work.step}: bw.step(optimizer) was not called")
            self.border.set()
            self.observing.ask(self.reduction)
        self.merge_statistics()
        with self.step_lock:
            self.cursor = self.cursor.next_epoch()
            self.border.clear()  # what the script does once per epoch comes now
        self.reports.flush()

    def batches(self, loader: Loader, *optimizers: torch.optim.Optimizer, clip: float | None = None) -> Iterator[Any]:
        """The same in one loop: micro-batch by micro-batch, with ``step(*optimizers, clip=clip)`` where it belongs."""
        for _, micro_batches in self.steps(loader):
            yield from micro_batches
            self.step(*optimizers, clip=clip)

    def _micro_batches(self, loader: Loader, batch: Batch) -> Iterator[Any]:
        split = self.pace.share(batch.count)
        at = Position(self.cursor.seed, self.cursor.epoch, batch.start, self.rank)
        seed, step, most = self.cursor.seed, self.cursor.step, self.accumulation.most
        work = self.work = Work(seed, step, batch, split, self.rank, loader.together, most)
        if self.reduction.apart and not self.apart:
            self.checkpoints.hold()
        work.apart = self.reduction.apart or self.reduction.late
        self._whole = batch.count == loader.micro_batches
        self._counted = loader.count is not None
        self.reduction.begin(work.samples, batch.samples)
        self._remembered.begin()
        self.times.begin()
        source = loader.running(at, split, self.pace.share)
        self._given = work.micro_batches(lambda: next(source), loader.count, self.reduction.local)
        return self._given

    def backward(self, loss: torch.Tensor) -> None:
        """Once per micro-batch: back-propagate ``loss``, its mean over the samples (over what ``count`` counts)."""
        work = self.present()
        work.passed()
        if work.count:
            weight = work.count * self.reduction.factor / work.batch.samples
            self.scaler.scale(loss * weight).backward()  # type: ignore[no-untyped-call]
        elif work.last and not work.apart:  # a mean over nothing is NaN: it adds nothing, but the others wait
            self.reduction.absent()

    def accumulate(self, micro_batches: Iterator[Any], loss_of: LossOf) -> torch.Tensor:
        """In place of the loop over micro-batches, on every rank: all of them through ``loss_of(*micro_batch)``, their
        mean loss, and ``backward``; → the mean over this rank's. A rank that runs out of memory goes on with less."""
        return self.accumulation.run(micro_batches, unpacking(loss_of))

    def step(self, *optimizers: torch.optim.Optimizer, clip: float | None = None) -> bool:
        """After the micro-batches of a step: move the parameters by the mean gradient of the whole global batch.

        ``clip`` limits that gradient's norm. False where every rank left the step out for an overflow.
        """
        work = self.present()
        work.finished()
        self.statistics.look(len(work.mine))
        self._remembered.look()
        refuse_strangers(optimizers, self._parameters)
        work.exchange(self.reduction)
        reduced = self.times.mark()
        factor = work.per_target(self.total) if self._counted else 1.0
        with self.step_lock:
            self.moving, self.apart = True, self.reduction.apart
            moved = update(optimizers, self.scaler, list(self._parameters.values()), factor, clip)
            self.statistics.settle(work.before, len(work.mine), work.after)
            self.cursor = self.cursor.stepped(work.batch.samples)
            self.border.clear()  # the script may move a schedule now
            self.moving, self.moved = False, self.times.mark()
        updated = self.moved
        if self.apart:
            self.moments.stepped(optimizers, work.samples)
        if self.reduction.stepped(self.step_lock) and self.apart:
            self._joined()
            if not self.reduction.apart:  # one gradient for all from here on: unlike optimizers would step apart
                self.moments.join()
        self.observing.stepped(work, reduced, updated, self.cursor.step)
        if self._whole:
            self.pace.took(self.times.alone_s)
        self.work = None
        return moved

    def report(self, **values: Any) -> None:
        """Values (numbers, tensors) for this rank's next report line."""
        self.reports.note(values)

    def total(self, *values: float) -> list[float]:
        """Each value summed over ranks, on every rank; every rank calls it."""
        return [sum(column) for column in zip(*self.reduction.gather([float(value) for value in values]))]

    def merge_statistics(self) -> None:
        """Model and BatchNorm as every rank has them from here on. All ranks call it; ``steps`` does at its end."""
        self.reduction.settle(self.step_lock)
        self._joined()

    def _joined(self) -> None:
        """Parameters are one on all ranks; statistics are afterwards."""
        self.statistics.merge(self.reduction.sum)
        with self.step_lock:
            self.apart = False

    def restore(self, **kept: Any) -> bool:
        """Go on from the newest checkpoint of any rank (→ whether there is one). All ranks call it, after ``wrap``.

        ``kept`` are what checkpoints hold besides the model: ``optimizer=optimizer``, ``schedule=schedule``, anything
        with a state_dict and a load_state_dict.
        """
        if self.model is None:
            raise Misuse("bw.restore comes after bw.wrap: there is no model to restore yet")
        self.checkpoints.keep(kept)
        return self.checkpoints.restore()

    def checkpoint(self, when_due: bool = False) -> None:
        """Between two steps, all ranks: keep what there is. One rank of each node writes, while training goes on.

        With ``when_due`` only where it pays by now, given what one costs and how often the gang's nodes fail.
        """
        if self.work is not None:
            raise Misuse("bw.checkpoint belongs between two steps: after bw.step, or after the epoch")
        if when_due and not self.cadence.due(self.cursor.step, self.total):
            return
        begin_s = time.monotonic()
        self.checkpoints.save()
        self.cadence.made(self.cursor.step, time.monotonic() - begin_s)

    def resume(self, cursor: Cursor, carried: Mapping[str, Any] | None = None) -> None:
        """Go on from ``cursor``; the model's state was loaded before, alike on every rank, and ``reduction.carried``
        of the run that saved it is given back."""
        with self.step_lock:
            self.cursor = cursor
            self.apart = False
            self.reduction.loaded(carried or {})
            self.moved = self.times.mark()
            self.statistics.reload()

    def begin_anew(self) -> Iterator[Any]:
        """The micro-batches of the step that is being done, as if it had not begun: the split may have changed."""
        work = self.present()
        self._forget()
        return self._micro_batches(self._loader, work.batch)

    def _start_over(self, loader: Loader) -> int:
        """From the cursor on, even if a loop was left in the middle of a step. → the new one's number"""
        self._loader = loader
        self._forget()
        self.work = None
        self.times.start_over()
        self.border.set()
        self._loops += 1
        return self._loops

    def _forget(self) -> None:
        """What a step that was broken off left behind."""
        if self._given is not None:
            self._given.close()  # it may stand in the middle of a pass without an exchange
        self._loader.rewind()
        for parameter in self._parameters.values():
            parameter.grad = None
        self.statistics.restore()

    def present(self) -> Work:
        if self.work is None:
            raise Misuse("bw.backward and bw.step belong into `for step, micro_batches in bw.steps(loader)`")
        return self.work

    def _mark_ready(self, parameter: nn.Parameter) -> None:
        if self.work is not None and self.work.last and not self.work.over:
            self.times.ready()
            self.work.reached.add(id(parameter))
