"""A step's micro-batches through the model, by ranks that may run out of memory on the way."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch

from beowulf.train.memory import Uncut, ran_out
from beowulf.train.together import meeting
from beowulf.train.work import UNLIMITED, Work

if TYPE_CHECKING:
    from beowulf.train.session import Session

LossOf = Callable[..., torch.Tensor]


def unpacking(loss_of: LossOf) -> LossOf:
    """Of a whole micro-batch, for a ``loss_of`` its columns."""
    return lambda micro: loss_of(*micro) if isinstance(micro, (list, tuple)) else loss_of(micro)


class Accumulation:
    """Nothing is exchanged before all ranks are through, so a rank that is not can begin its part anew: in smaller
    passes where the samples of a pass do not meet, else with fewer micro-batches, which the others take over."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.most = UNLIMITED  # samples that this rank puts through the model at once
        self._uncut = False  # a micro-batch was no good in parts

    def run(self, micro_batches: Iterator[Any], loss_of: LossOf) -> torch.Tensor:
        """This rank's mean loss, ``loss_of(micro_batch)`` being that of each. ValueError on all ranks where they cannot
        hold the batch together."""
        session = self._session
        while True:
            work = session.present()
            work.apart = True
            loss, short = self._attempt(work, micro_batches, loss_of)
            if not short or not self._smaller(work):
                held = self._held(work, short)
                if max(held) < 0:
                    return loss
                session.pace.out_of_memory(held)
            micro_batches = session.begin_anew()

    def _attempt(self, work: Work, micro_batches: Iterator[Any], loss_of: LossOf) -> tuple[torch.Tensor, bool]:
        """→ the mean loss, and whether memory ran out before all were through."""
        total = torch.zeros((), device=self._session.device)
        try:
            for micro in micro_batches:
                loss = loss_of(micro)
                self._session.backward(loss)
                if work.count:
                    total = total + loss.detach() * work.count
        except Exception as error:
            if not (ran_out(error) or isinstance(error, Uncut)):
                raise
            self._uncut = self._uncut or isinstance(error, Uncut)
            return total, True
        return total / work.targets, False

    def _smaller(self, work: Work) -> bool:
        """Whether it may help this rank to try again, with half as many samples at once."""
        samples = work.samples_at_once
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if 1 < samples <= self.most and not self._uncut and not meeting(self._session.module):
            self.most = -(-samples // 2)
            self.tell(f"it goes on with {self.most} at once")
            return True
        self.most = UNLIMITED
        self.tell("other ranks take over what it cannot hold")
        return False

    def _held(self, work: Work, short: bool) -> list[int]:
        """By rank: how many micro-batches a rank could hold that has no memory for what it was given; else -1."""
        if short or not work.mine:
            self._session.reduction.meet()
        return [int(row[0]) for row in self._session.reduction.gather([work.held if short else -1.0])]

    def tell(self, remedy: str) -> None:
        """In the log and to the head: for how much the memory was too small, and what helps."""
        session = self._session
        samples = session.work.samples_at_once if session.work else 0
        session.reports.line({"step": session.cursor.step, "out_of_memory": samples})
        what = "the optimizer's step" if session.moving else f"{samples} samples at once: {remedy}"
        text = f"beowulf: rank {session.rank} has not the memory for {what}"
        print(text, file=sys.stderr, flush=True)
