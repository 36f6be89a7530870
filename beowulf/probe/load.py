"""How busy a node was between two heartbeats, and its GPUs right now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from beowulf.probe.answers import Answers
from beowulf.probe.questions import PROLOGUE, SLOW_S

GPU_LOAD = "gpu-load"
_FIELDS = "index,utilization.gpu,memory.used,temperature.gpu,power.draw"
_ASK = f"{PROLOGUE}exec nvidia-smi --format=csv,noheader,nounits --query-gpu={_FIELDS}"


@dataclass(frozen=True, slots=True)
class GpuLoad:
    """-1: not told."""

    index: int
    utilisation: float = -1.0  # 0 … 1
    memory_used_mib: int = -1
    temperature_c: int = -1
    power_w: float = -1.0


@dataclass(frozen=True, slots=True)
class Load:
    """-1: not told. Rates are means since the heartbeat before."""

    at: float
    cpu: float = -1.0  # 0 … 1 of all threads
    memory_used_mib: int = -1
    received_bytes_s: float = -1.0
    sent_bytes_s: float = -1.0
    round_trip_ms: float = -1.0
    gpus: tuple[GpuLoad, ...] = ()


def load_between(before: Mapping[str, int], after: Mapping[str, int], since: float, now: float) -> Load:
    """``before`` and ``after``: the counters of two heartbeats; after a reboot
    they begin anew, and nothing is told."""
    seconds = now - since
    ticks = _grown(before, after, "cpu_all")
    busy = _grown(before, after, "cpu_busy")
    received, sent = (_grown(before, after, name) for name in ("received_bytes", "sent_bytes"))
    memory, available = after.get("memory_kib", 0), after.get("available_kib", 0)
    return Load(
        now,
        cpu=min(busy / ticks, 1.0) if ticks > 0 and busy >= 0 else -1.0,
        memory_used_mib=(memory - available) // 1024 if memory else -1,
        received_bytes_s=received / seconds if seconds > 0 and received >= 0 else -1.0,
        sent_bytes_s=sent / seconds if seconds > 0 and sent >= 0 else -1.0,
    )


def _grown(before: Mapping[str, int], after: Mapping[str, int], name: str) -> int:
    return after[name] - before[name] if name in before and name in after else -1


def gpu_load_question() -> dict[str, Any]:
    return {"name": GPU_LOAD, "argv": ["/bin/sh", "-c", _ASK], "timeout_s": SLOW_S}


def read_gpu_load(answers: Mapping[str, Mapping[str, Any]]) -> tuple[GpuLoad, ...]:
    """A line per GPU; what the driver does not tell (``[N/A]``) is -1, and lines that are none are passed over."""
    answer = Answers(answers).of(GPU_LOAD)
    loads = (_gpu(line) for line in answer.lines if not answer.timed_out)
    return tuple(load for load in loads if load is not None)


def _gpu(line: str) -> GpuLoad | None:
    words = [word.strip() for word in line.split(",")]
    if len(words) != 5 or not words[0].isdigit():
        return None
    used, memory, temperature, power = (_number(word) for word in words[1:])
    load = GpuLoad(int(words[0]), memory_used_mib=int(memory), temperature_c=int(temperature), power_w=power)
    return replace(load, utilisation=min(used / 100, 1.0)) if used >= 0 else load


def _number(word: str) -> float:
    try:
        found = float(word)
    except ValueError:
        return -1.0
    return found if 0 <= found < 1e9 else -1.0  # "nan" is no number either
