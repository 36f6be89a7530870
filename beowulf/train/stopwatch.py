"""Marks on the timeline that does the work: the host's clock for CPUs, the stream's for CUDA."""

from __future__ import annotations

import time
from typing import Any

import torch


class Stopwatch:
    """``seconds(a, b)`` lie between two marks; on CUDA it waits until the stream has passed ``b``."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"

    def mark(self) -> Any:
        if not self._cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def seconds(self, a: Any, b: Any) -> float:
        if not self._cuda:
            return float(b - a)
        b.synchronize()
        return float(a.elapsed_time(b)) / 1000.0


class StepTimes:
    """Where a rank's steps spend their time, in seconds."""

    def __init__(self, device: torch.device) -> None:
        self._watch = Stopwatch(device)
        self._begin = self._ready = self._update_end = self.mark()
        self._update_s = 0.0
        self.alone_s = 0.0  # of the last step: what it took without waiting for others

    def mark(self) -> Any:
        return self._watch.mark()

    def start_over(self) -> None:
        self._update_end = self.mark()

    def begin(self) -> None:
        """The micro-batches of a step come now."""
        self._begin = self._ready = self.mark()

    def ready(self) -> None:
        """A gradient is there; the last such mark counts."""
        self._ready = self.mark()

    def step(self, reduced: Any, updated: Any, input_s: float, *, works: bool) -> dict[str, float]:
        """Of the step that ends now; ``works``: this rank had micro-batches."""
        now, last, seconds = self.mark(), self._update_end, self._watch.seconds
        busy = seconds(self._begin, self._ready) if works else 0.0
        waited = seconds(self._ready if works else self._begin, reduced)
        self.alone_s = self._update_s + busy if works else 0.0
        self._update_s, self._update_end = seconds(reduced, updated), now
        return {
            "step_s": seconds(last, now),
            "compute_s": max(0.0, busy - input_s),
            "input_s": input_s,
            "sync_s": waited + seconds(updated, now),
        }
