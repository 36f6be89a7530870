"""``session()``: a training script's ranks, data, gradients and pace."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from beowulf.train.checkpoint import Checkpoints
from beowulf.train.cursor import Cursor
from beowulf.train.loading import Loader, Position
from beowulf.train.modes import VARIABLE, Choice, read_choice
from beowulf.train.order import Batch, reseed, seed_of
from beowulf.train.over_horovod import HorovodReduction
from beowulf.train.pace import Pace
from beowulf.train.place import Place, limited, place
from beowulf.train.reduction import DistributedReduction, Reduction
from beowulf.train.reports import Reports
from beowulf.train.statistics import Statistics, refuse_norms
from beowulf.train.stopwatch import Stopwatch
from beowulf.train.straggling import Straggling
from beowulf.train.together import refuse_meeting
from beowulf.train.update import update
from beowulf.train.work import Misuse, Work


def session(
    seed: int = 0,
    *,
    device: torch.device | None = None,
    reduction: Reduction | None = None,
    loss_scaling: bool = False,
    caps: Sequence[int] = (),
    communication: str | Choice | None = None,
    checkpoint: str = "",
    environment: Mapping[str, str] = os.environ,
) -> Session:
    """This process as a rank of its gang; alone where the environment names no other. ``with`` or ``close`` ends it.

    ``loss_scaling`` guards 16-bit floats against underflow (torch's GradScaler); ``caps`` limits each rank's
    micro-batches per step; ``communication`` names a mode where BEOWULF_COMMUNICATION shall not (`read_choice`);
    ``checkpoint`` is a folder for checkpoints where the head names none. ValueError where the environment or an
    argument makes no sense.
    """
    reseed(seed_of(seed))
    here = place(environment)
    device = limited(here.device() if device is None else device, os.environ)
    # Speeds of another number of ranks are those of the gang before it shrank or grew.
    speeds = [float(word) for word in environment.get("BEOWULF_SPEEDS", "").split(",") if word.strip()]
    wanted = environment.get(VARIABLE, "") if communication is None else communication
    choice = read_choice(wanted) if isinstance(wanted, str) else wanted
    joined = reduction or _reduction(here, device, choice, environment)
    pace = Pace(joined, speeds if len(speeds) == joined.world else (), caps)
    bw = Session(seed, device, joined, pace, Reports(environment.get("BEOWULF_REPORT")), loss_scaling)
    bw.checkpoints = Checkpoints(
        bw,
        environment.get("BEOWULF_CHECKPOINT") or checkpoint,
        writes=here.local_rank == 0,
        asking=environment.get("BEOWULF_CHECKPOINT_SIGNAL", "USR1"),
    )
    return bw


def _reduction(here: Place, device: torch.device, choice: Choice, environment: Mapping[str, str]) -> Reduction:
    """Horovod's where a launcher says that its ranks are Horovod's."""
    if environment.get("HOROVOD_CONTROLLER"):
        return HorovodReduction(device, choice)
    return DistributedReduction(here, device, choice)


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
        self.moving = False  # in the middle of a change of the parameters, or left there by an error
        self.moved: Any = None  # the mark after the last one
        self.statistics: Statistics | None = None
        self._parameters: list[nn.Parameter] = []
        self._watch = Stopwatch(device)
        self._work: Work | None = None
        self._begin = self._ready = self._update_end = self._watch.mark()
        self._update_s = 0.0
        self._straggling = Straggling(os.environ)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, torch.cuda.OutOfMemoryError):
            self._tell_out_of_memory()
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
        refuse_norms(module)
        self.module = module
        self.model = self.reduction.wrap(module.to(self.device), self.device, options)
        self.statistics = Statistics(module, self.rank)
        self._parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        for parameter in self._parameters:
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
        if loader.together > 1 and self.model is not None:
            refuse_meeting(self.model)
        self._start_over(loader)
        while True:
            batch = loader.batch_at(self.cursor.samples)
            if batch is None:
                break
            self.pace.border(loader.micro_batches)
            yield self.cursor.step, self._micro_batches(loader, batch)
            if self._work is not None:
                raise Misuse(f"step {self._work.step}: bw.step(optimizer) was not called")
        self.merge_statistics()
        with self.step_lock:
            self.cursor = self.cursor.next_epoch()
        self.reports.flush()
        self._straggling.tell(self.reduction)

    def batches(self, loader: Loader, *optimizers: torch.optim.Optimizer, clip: float | None = None) -> Iterator[Any]:
        """The same in one loop: micro-batch by micro-batch, with ``step(*optimizers, clip=clip)`` where it belongs."""
        for _, micro_batches in self.steps(loader):
            yield from micro_batches
            self.step(*optimizers, clip=clip)

    def _micro_batches(self, loader: Loader, batch: Batch) -> Iterator[Any]:
        split = self.pace.share(batch.count)
        at = Position(self.cursor.seed, self.cursor.epoch, batch.start, self.rank)
        work = self._work = Work(self.cursor.seed, self.cursor.step, batch, split, self.rank, loader.together)
        self._whole = batch.count == loader.micro_batches
        self._counted = loader.count is not None
        self.reduction.begin(work.samples, batch.samples)
        self._begin = self._ready = self._watch.mark()
        source = loader.running(at, split, self.pace.share)
        return work.micro_batches(lambda: next(source), loader.count, self.reduction.local)

    def backward(self, loss: torch.Tensor) -> None:
        """Once per micro-batch: back-propagate ``loss``, its mean over the samples (over what ``count`` counts)."""
        work = self._present()
        work.passed()
        if work.count:
            weight = work.count * self.reduction.factor / work.batch.samples
            self.scaler.scale(loss * weight).backward()  # type: ignore[no-untyped-call]
        elif work.last:  # a mean over nothing is NaN: it adds nothing, but the others wait
            self.reduction.absent()

    def step(self, *optimizers: torch.optim.Optimizer, clip: float | None = None) -> bool:
        """After the micro-batches of a step: move the parameters by the mean gradient of the whole global batch.

        ``clip`` limits that gradient's norm. False where every rank left the step out for an overflow.
        """
        work = self._present()
        work.finished()
        if not work.mine:
            self.reduction.absent()
        self.reduction.finish()
        reduced = self._watch.mark()
        factor = self._per_target(work)
        with self.step_lock:
            self.moving = True
            moved = update(optimizers, self.scaler, self._parameters, factor, clip)
            if self.statistics is not None:
                self.statistics.settle(work.before, len(work.mine), work.after)
            self.cursor = self.cursor.stepped(work.batch.samples)
            self.moving, self.moved = False, self._watch.mark()
        updated = self.moved
        self.reduction.stepped(self.step_lock)
        self._account(work, reduced, updated)
        self._work = None
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
        if self.statistics is not None:
            self.statistics.merge(self.reduction.sum)

    def restore(self, **kept: Any) -> bool:
        """Go on from the newest checkpoint of any rank (→ whether there is one). All ranks call it, after ``wrap``.

        ``kept`` are what checkpoints hold besides the model: ``optimizer=optimizer``, ``schedule=schedule``, anything
        with a state_dict and a load_state_dict.
        """
        if self.model is None:
            raise Misuse("bw.restore comes after bw.wrap: there is no model to restore yet")
        self.checkpoints.keep(kept)
        return self.checkpoints.restore()

    def checkpoint(self) -> None:
        """Between two steps, all ranks: keep what there is. One rank of each node writes, while training goes on."""
        if self._work is not None:
            raise Misuse("bw.checkpoint belongs between two steps: after bw.step, or after the epoch")
        self.checkpoints.save()

    def resume(self, cursor: Cursor) -> None:
        """Go on from ``cursor``; the model's state was loaded before, alike on every rank."""
        with self.step_lock:
            self.cursor = cursor
            if self.statistics is not None:
                self.statistics.reload()

    def _tell_out_of_memory(self) -> None:
        """What a rank holds at once is one micro-batch, however many it does: only a smaller one helps."""
        samples = self._work.samples_at_once if self._work is not None else 0
        self.reports.line({"step": self.cursor.step, "out_of_memory": samples})
        text = f"beowulf: rank {self.rank} has not the memory for a micro-batch of {samples} samples"
        print(f"{text}: make micro_batch smaller; batch_size can stay", file=sys.stderr)

    def _start_over(self, loader: Loader) -> None:
        """From the cursor on, even if the loop was left in the middle of a step."""
        loader.rewind()
        self._work, self._update_end = None, self._watch.mark()
        for parameter in self._parameters:
            parameter.grad = None
        if self.statistics is not None:
            self.statistics.restore()

    def _present(self) -> Work:
        if self._work is None:
            raise Misuse("bw.backward and bw.step belong into `for step, micro_batches in bw.steps(loader)`")
        return self._work

    def _per_target(self, work: Work) -> float:
        """Gradients were weighed by samples so far; with a ``count`` they have to be by targets, of all ranks."""
        if not self._counted:
            return 1.0
        targets = self.total(work.targets)[0]
        return work.batch.samples / targets if targets else 1.0

    def _mark_ready(self, _: nn.Parameter) -> None:
        if self._work is None or self._work.last:
            self._ready = self._watch.mark()

    def _account(self, work: Work, reduced: Any, updated: Any) -> None:
        """Where this step's time went; whole steps teach the pace."""
        now, last = self._watch.mark(), self._update_end
        busy = self._watch.seconds(self._begin, self._ready) if work.mine else 0.0
        waited = self._watch.seconds(self._ready if work.mine else self._begin, reduced)
        if self._whole:
            self.pace.took(self._update_s + busy if work.mine else 0.0)
        self._update_s, self._update_end = self._watch.seconds(reduced, updated), now
        seconds = {
            "step_s": self._watch.seconds(last, now),
            "compute_s": max(0.0, busy - work.input_s),
            "input_s": work.input_s,
            "sync_s": waited + self._watch.seconds(updated, now),
        }
        self.reports.stepped(seconds, step=self.cursor.step, k=len(work.mine), samples=work.samples)
        self._straggling.stepped(seconds, len(work.mine))
