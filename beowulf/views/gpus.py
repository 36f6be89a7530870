"""What each GPU does, and one line per GPU."""

from __future__ import annotations

from typing import NamedTuple

from beowulf.views.amounts import mebibytes
from beowulf.views.bars import bar, percent
from beowulf.views.fields import Json, inner, items, known, number, text
from beowulf.views.nodes import node_word
from beowulf.views.text import printable

GPU_COLUMNS = ("NODE", "GPU", "KIND", "STATE", "USE", "MEMORY", "TEMP", "POWER", "JOB", "NOTE")
BAR = 10
HOT_C = 100.0  # where bars of temperature end,
MOST_POWER_W = 350.0  # and those of power: few retired cards draw more


class GpuNow(NamedTuple):
    """Parts are 0 … 1, -1 where nobody told."""

    node: str
    gpu: str
    kind: str
    state: str  # FAILED where it is out of order, else the node's
    use: float
    memory: float
    memory_mib: float  # used
    total_mib: float
    heat: float  # of `HOT_C`
    power: float  # of `MOST_POWER_W`
    job: str  # who has it
    note: str  # what is wrong with it, or who else uses it


class GpuRow(NamedTuple):
    """Fields in the order of `GPU_COLUMNS`."""

    node: str
    gpu: str
    kind: str
    state: str
    use: str
    memory: str
    temperature: str
    power: str
    job: str
    note: str


def gpu_loads(node: Json, load: Json) -> list[GpuNow]:
    """``load``: the node's newest."""
    told = {int(number(gpu, "index")): gpu for gpu in items(load, "gpus")}
    word, holders = node_word(node), inner(node, "gpu_jobs")
    return [
        _now(node, word, gpu, told.get(int(number(gpu, "index")), {}), text(holders, text(gpu, "index")))
        for gpu in items(inner(node, "facts"), "gpus")
    ]


def _now(node: Json, word: str, gpu: Json, load: Json, job: str) -> GpuNow:
    used, total = known(load, "memory_used_mib"), number(gpu, "memory_mib")
    temperature, power = known(load, "temperature_c"), known(load, "power_w")
    foreign = text(gpu, "foreign")
    return GpuNow(
        printable(text(node, "id")),
        text(gpu, "index"),
        printable(text(gpu, "kind")),
        "FAILED" if gpu.get("healthy") is False else word,
        known(load, "utilisation"),
        used / total if total and used >= 0 else -1.0,
        used,
        total,
        temperature / HOT_C if temperature >= 0 else -1.0,
        power / MOST_POWER_W if power >= 0 else -1.0,
        printable(job),
        printable(text(gpu, "complaint") or foreign),
    )


def gpu_row(gpu: GpuNow) -> GpuRow:
    used = f"{mebibytes(gpu.memory_mib)}/" if gpu.memory_mib >= 0 else ""
    return GpuRow(
        gpu.node,
        gpu.gpu,
        gpu.kind,
        gpu.state,
        f"{bar(gpu.use, BAR)}{percent(gpu.use)}",
        f"{bar(gpu.memory, BAR)} {used}{mebibytes(gpu.total_mib)}",
        f"{gpu.heat * HOT_C:.0f} °C" if gpu.heat >= 0 else "-",
        f"{gpu.power * MOST_POWER_W:.0f} W" if gpu.power >= 0 else "-",
        gpu.job,
        gpu.note,
    )


def gpu_sentence(gpu: GpuNow) -> str:
    """``n5 GPU 0 · RTX3090 · MIXED · 97 % · 18G/24G · 78 °C · 310 W · job 42``"""
    row = gpu_row(gpu)
    memory = row.memory.rpartition(" ")[2]
    parts = (f"{gpu.node} GPU {gpu.gpu}", gpu.kind, gpu.state, f"{100 * gpu.use:.0f} %" if gpu.use >= 0 else "")
    job = f"job {gpu.job}" if gpu.job else ""
    measured = (memory, row.temperature.strip("-"), row.power.strip("-"), job, gpu.note)
    return " · ".join(filter(None, (*parts, *measured)))
