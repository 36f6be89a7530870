"""A rank reads its own processor: a made-up sysfs tree, and a driver's library as NVML answers (no GPU here)."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beowulf.train.clocks import EVERY_S, Clocks, CpuClocks, GpuClock


class Machine:
    """Processors as the kernel shows them."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def cpu(self, number: int, now: int, best: int = 3_000_000, allowed: int = 3_000_000) -> None:
        self.write(f"cpu{number}/cpufreq/cpuinfo_max_freq", best)
        self.write(f"cpu{number}/cpufreq/scaling_max_freq", allowed)
        self.write(f"cpu{number}/cpufreq/scaling_cur_freq", now)

    def slowed(self, number: int, times: int) -> None:
        self.write(f"cpu{number}/thermal_throttle/core_throttle_count", times)

    def write(self, name: str, value: object) -> None:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_fastest_of_a_ranks_own_threads_counts(machine: Machine) -> None:
    for number, now in enumerate((800_000, 1_500_000, 3_000_000)):
        machine.cpu(number, now)
    assert CpuClocks({0, 1}, str(machine.root)).look() == {"clock": 0.5}
    assert CpuClocks({0, 1, 2}, str(machine.root)).look() == {"clock": 1.0}


def test_a_limit_is_told_only_where_all_threads_have_it(machine: Machine) -> None:
    machine.cpu(0, 1_500_000, allowed=1_500_000)
    machine.cpu(1, 1_500_000)
    assert CpuClocks({0}, str(machine.root)).look() == {"clock": 0.5, "limit": 1.0}
    assert CpuClocks({0, 1}, str(machine.root)).look() == {"clock": 0.5}


def test_heat_is_told_when_the_counter_moved_since_the_last_look(machine: Machine) -> None:
    machine.cpu(0, 1_500_000)
    machine.slowed(0, 7)
    clocks = CpuClocks({0}, str(machine.root))
    assert clocks.look() == {"clock": 0.5}
    machine.slowed(0, 9)
    assert clocks.look() == {"clock": 0.5, "heat": 1.0}
    assert clocks.look() == {"clock": 0.5}


@pytest.mark.parametrize("content", ["", "<unknown>", "-"])
def test_a_machine_that_does_not_tell_is_taken_calmly(machine: Machine, content: str) -> None:
    assert CpuClocks({0, 1}, str(machine.root / "nowhere")).look() == {}
    machine.cpu(0, 1_500_000)
    machine.write("cpu0/cpufreq/cpuinfo_max_freq", content)
    assert CpuClocks({0}, str(machine.root)).look() == {}
    machine.cpu(0, 1_500_000)
    machine.write("cpu0/cpufreq/scaling_cur_freq", content)
    assert CpuClocks({0}, str(machine.root)).look() == {}


def test_a_look_is_taken_only_now_and_then(machine: Machine) -> None:
    machine.cpu(0, 1_500_000)
    times: Iterator[float] = iter([0.0, 0.0, 0.0, 1.0, EVERY_S, EVERY_S])
    clocks = Clocks(CpuClocks({0}, str(machine.root)), lambda: next(times))
    assert clocks.figures() == {"clock": 0.5}
    machine.cpu(0, 3_000_000)
    assert clocks.figures() == {"clock": 0.5}
    assert clocks.figures() == {"clock": 1.0}
    assert Clocks(CpuClocks((), str(machine.root))).figures() == {"clock": 0.0}


class Driver:
    """NVML's calls for one GPU, as its header declares them. Unknown clocks are error 3 (not supported)."""

    def __init__(self, now: int, best: int, bits: int) -> None:
        self._answers: dict[Any, int] = {"now": now, "best": best, "bits": bits}

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes, handle: Any) -> int:
        return 0 if uuid == b"GPU-1234" else 6

    def nvmlDeviceGetClockInfo(self, handle: Any, kind: int, answer: Any) -> int:
        return self._tell("now", answer)

    def nvmlDeviceGetMaxClockInfo(self, handle: Any, kind: int, answer: Any) -> int:
        return self._tell("best", answer)

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: Any, answer: Any) -> int:
        return self._tell("bits", answer)

    def _tell(self, name: str, answer: Any) -> int:
        if self._answers[name] < 0:
            return 3
        ctypes.cast(answer, ctypes.POINTER(ctypes.c_ulonglong))[0] = self._answers[name]
        return 0


def test_a_gpu_tells_its_clock_and_what_slows_it() -> None:
    assert GpuClock("1234", Driver(900, 1800, 0x20)).look() == {"clock": 0.5, "heat": 1.0}
    assert GpuClock("1234", Driver(900, 1800, 0x4)).look() == {"clock": 0.5}, "the power cap is every busy card's"
    assert GpuClock("1234", Driver(900, -1, -1)).look() == {}
    assert GpuClock("9999", Driver(900, 1800, 0x20)).look() == {}
    assert GpuClock("1234", None).look() == {}
