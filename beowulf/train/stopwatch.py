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
