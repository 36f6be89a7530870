"""Where a rank's steps spend their time: told to the head by each rank, and asked by the gang of all of them."""

from __future__ import annotations

import os
from typing import Any

import torch

from beowulf.train.clocks import clocks_of
from beowulf.train.reduction import Reduction
from beowulf.train.reports import Reports
from beowulf.train.stopwatch import StepTimes
from beowulf.train.straggling import Straggling
from beowulf.train.work import Work


class Observing:
    """``times`` takes the marks of a step while it is done."""

    def __init__(self, device: torch.device, reports: Reports) -> None:
        self.times = StepTimes(device)
        self._reports = reports
        self._clocks = clocks_of(device)
        self._straggling = Straggling(os.environ)
        self._last: tuple[dict[str, float], int] = ({}, 0)

    def stepped(self, work: Work, reduced: Any, updated: Any, steps: int) -> None:
        """``work`` is done, the last of ``steps``."""
        seconds = self.times.step(reduced, updated, work.input_s, works=bool(work.mine))
        self._last = ({**seconds, **self._clocks.figures()}, len(work.mine))
        self._reports.stepped(self._last[0], step=steps, k=len(work.mine), samples=work.samples)

    def ask(self, reduction: Reduction) -> None:
        """Every rank, after each step."""
        self._straggling.stepped(*self._last, reduction)
