"""How fast this rank's processor runs now, and what slows it, as the kernel or the GPU's driver tells.

A look costs a few reads of sysfs, or three calls of the driver's library (NVML, which comes with every driver). Where
neither tells anything, a rank reports that nothing is known.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Protocol

import torch

from beowulf.split.clocks import HELD_BELOW, gpu_reason

CPUS = "/sys/devices/system/cpu"
EVERY_S = 5.0
SM_CLOCK = 1  # NVML's number of the clock that multiprocessors run at


class Source(Protocol):
    def look(self) -> Mapping[str, float]:
        """What holds since the last look: ``clock``, a part of the best one (left out: not known), and each reason
        of `split.clocks.REASONS` that slowed it, as 1.0."""


class Clocks:
    """Looked at between two steps, when the processor has just worked, and at most every `EVERY_S`."""

    def __init__(self, source: Source, now: Callable[[], float] = time.monotonic) -> None:
        self._source, self._now = source, now
        self._due = now()
        self._figures: Mapping[str, float] = {}

    def figures(self) -> Mapping[str, float]:
        """Those of the last look. ``clock`` is always among them: 0.0 where it is not known."""
        if self._now() >= self._due:
            self._due = self._now() + EVERY_S
            self._figures = {"clock": 0.0, **self._source.look()}
        return self._figures


def clocks_of(device: torch.device) -> Clocks:
    """Of the GPU ``device``, or of the processor's threads that this process may run on."""
    if device.type == "cuda":
        return Clocks(GpuClock(str(getattr(torch.cuda.get_device_properties(device), "uuid", "")), nvml()))
    return Clocks(CpuClocks(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()))


class CpuClocks:
    """Of the threads ``cpus``, the fastest one counts: a rank need not keep all of its threads busy."""

    def __init__(self, cpus: Iterable[int], root: str = CPUS) -> None:
        self._folders = [os.path.join(root, f"cpu{number}") for number in sorted(cpus)]
        self._slowed = self._counted()

    def look(self) -> Mapping[str, float]:
        clocks = [self._clock(folder) for folder in self._folders]
        before, self._slowed = self._slowed, self._counted()
        found = {}
        if any(now for now, _ in clocks):
            found["clock"] = min(1.0, max(now for now, _ in clocks))
        if any(allowed for _, allowed in clocks) and max(allowed for _, allowed in clocks) < HELD_BELOW:
            found["limit"] = 1.0
        if self._slowed > before:
            found["heat"] = 1.0
        return found

    @staticmethod
    def _clock(folder: str) -> tuple[float, float]:
        """The clock it runs at and the one it may reach, as parts of its best."""
        names = ("cpuinfo_max_freq", "scaling_cur_freq", "scaling_max_freq")
        best, now, allowed = [_number(os.path.join(folder, "cpufreq", name)) for name in names]
        return (now / best, allowed / best) if best else (0.0, 0.0)

    def _counted(self) -> int:
        """How often these threads' cores and packages were slowed for their heat."""
        names = ("core_throttle_count", "package_throttle_count")
        return sum(
            _number(os.path.join(folder, "thermal_throttle", name)) for folder in self._folders for name in names
        )


def _number(file: str) -> int:
    """0 where there is none."""
    try:
        with open(file, encoding="ascii") as lines:
            return int(lines.read())
    except (OSError, ValueError):
        return 0


class GpuClock:
    """``library`` is NVML's; None, or one that does not know the GPU: nothing is told."""

    def __init__(self, uuid: str, library: Any) -> None:
        self._library, self._handle = library, ctypes.c_void_p()
        if library is not None:
            unknown = library.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}".encode(), ctypes.byref(self._handle))
            self._library = None if unknown else library

    def look(self) -> Mapping[str, float]:
        if self._library is None:
            return {}
        now, best = (self._asked(name, SM_CLOCK) for name in ("ClockInfo", "MaxClockInfo"))
        found = {"clock": min(1.0, now / best)} if now and best else {}
        reason = gpu_reason(self._asked("CurrentClocksThrottleReasons"))
        return {**found, reason: 1.0} if reason else found

    def _asked(self, name: str, *arguments: int) -> int:
        """0 where the driver does not say."""
        answer = ctypes.c_ulonglong()  # on little-endian machines good for 32 bits, too
        failed = getattr(self._library, f"nvmlDeviceGet{name}")(self._handle, *arguments, ctypes.byref(answer))
        return 0 if failed else answer.value


def nvml() -> Any:
    """The driver's library, ready to be asked; None where there is none."""
    with suppress(OSError):
        library = ctypes.CDLL("libnvidia-ml.so.1")
        return None if library.nvmlInit_v2() else library
    return None
