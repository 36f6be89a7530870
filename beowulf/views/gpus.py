"""One line per GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from beowulf.views.amounts import mebibytes
from beowulf.views.bars import bar, percent
from beowulf.views.cluster import known
from beowulf.views.fields import Json, inner, items, number, text
from beowulf.views.nodes import node_word
from beowulf.views.text import printable

GPU_COLUMNS = ("NODE", "GPU", "KIND", "STATE", "USE", "MEMORY", "TEMP", "POWER", "JOBS ON THE NODE", "NOTE")
BAR = 10


class GpuRow(NamedTuple):
    """Fields in the order of `GPU_COLUMNS`."""

    node: str
    gpu: str
    kind: str
    state: str  # FAILED where it is out of order, else the node's
    use: str
    memory: str
    temperature: str
    power: str
    jobs: str
    note: str


def gpu_rows(node: Json, load: Json, jobs: Sequence[str]) -> list[GpuRow]:
    """``load``: the node's newest."""
    told = {int(number(gpu, "index")): gpu for gpu in items(load, "gpus")}
    return [
        _row(node, gpu, told.get(int(number(gpu, "index")), {}), jobs) for gpu in items(inner(node, "facts"), "gpus")
    ]


def _row(node: Json, gpu: Json, load: Json, jobs: Sequence[str]) -> GpuRow:
    use, used, total = known(load, "utilisation"), known(load, "memory_used_mib"), number(gpu, "memory_mib")
    temperature, power = known(load, "temperature_c"), known(load, "power_w")
    return GpuRow(
        printable(text(node, "id")),
        text(gpu, "index"),
        printable(text(gpu, "kind")),
        "FAILED" if gpu.get("healthy") is False else node_word(node),
        f"{bar(use, BAR)}{percent(use)}",
        f"{bar(used / total if total and used >= 0 else -1.0, BAR)} {mebibytes(total)}",
        f"{temperature:.0f} °C" if temperature >= 0 else "-",
        f"{power:.0f} W" if power >= 0 else "-",
        printable(" ".join(jobs)),
        printable(text(gpu, "complaint")),
    )
