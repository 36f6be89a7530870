"""One line per node with what it is doing right now, and the line on top of the whole cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from beowulf.views.amounts import mebibytes
from beowulf.views.bars import bar, percent, spark
from beowulf.views.fields import Json, count, inner, items, number, text
from beowulf.views.nodes import cpu_count, gpu_summary, node_row, node_word
from beowulf.views.text import printable

CLUSTER_COLUMNS = ("NODE", "STATE", "CPU", "2 MIN", "MEM", "GPU", "NET", "DOING", "SITE")
BAR = 8
SPARK = 12
SHOWN_STATES = ("RUNNING", "CONFIGURING", "COMPLETING", "PENDING")


class ClusterRow(NamedTuple):
    """Fields in the order of `CLUSTER_COLUMNS`."""

    id: str
    state: str
    cpu: str
    minutes: str
    memory: str
    gpu: str
    network: str
    doing: str  # why it does nothing, or its jobs
    site: str


def cluster_row(node: Json, loads: Sequence[Json], jobs: Sequence[str]) -> ClusterRow:
    """``loads``: of the last two minutes, oldest first; ``jobs``: who has a part of it."""
    newest: Json = loads[-1] if loads else {}
    row = node_row(node)
    return ClusterRow(
        row.id,
        row.state,
        f"{bar(known(newest, 'cpu'), BAR)}{percent(known(newest, 'cpu'))} {row.cpus}",
        spark([known(load, "cpu") for load in loads], SPARK),
        _memory(node, newest),
        _gpus(node, newest),
        _network(newest),
        row.reason or _jobs(jobs),
        printable(text(node, "site")),
    )


def known(load: Json, name: str) -> float:
    """-1 where it was not told."""
    found = load.get(name)
    return float(found) if isinstance(found, (int, float)) else -1.0


def _jobs(jobs: Sequence[str]) -> str:
    more = f" and {len(jobs) - 3} more" if len(jobs) > 3 else ""
    return printable(f"job{'s' * (len(jobs) > 1)} {', '.join(jobs[:3])}{more}") if jobs else ""


def _memory(node: Json, load: Json) -> str:
    total, used = number(inner(node, "facts"), "memory_mib"), known(load, "memory_used_mib")
    if used < 0 or not total:
        return f"{'·' * BAR} {mebibytes(total)}"
    return f"{bar(used / total, BAR)} {mebibytes(used)}/{mebibytes(total)}"


def _gpus(node: Json, load: Json) -> str:
    """A character per GPU for its use, then what they are."""
    told = {int(number(gpu, "index")): known(gpu, "utilisation") for gpu in items(load, "gpus")}
    gpus = items(inner(node, "facts"), "gpus")
    levels = spark([told.get(int(number(gpu, "index")), -1.0) for gpu in gpus], len(gpus)).strip()
    return f"{levels} {gpu_summary(node)}".strip()


def _network(load: Json) -> str:
    received, sent = known(load, "received_bytes_s"), known(load, "sent_bytes_s")
    return f"↓{_rate(received)} ↑{_rate(sent)}" if received >= 0 and sent >= 0 else "-"


def _rate(bytes_s: float) -> str:
    """``0``, ``12k``, ``3.4M``: bytes a second, at most four characters."""
    for unit in ("", "k", "M"):
        if bytes_s < 999.5:
            return f"{bytes_s:.1f}{unit}" if unit and bytes_s < 9.95 else f"{bytes_s:.0f}{unit}"
        bytes_s /= 1000
    return f"{bytes_s:.1f}G"


class Totals(NamedTuple):
    """What the top line says of the cluster."""

    nodes_up: int
    nodes: int
    threads_used: int
    threads: int
    gpus_used: int
    gpus: int
    states: Mapping[str, int]
    alerts: int  # nodes that are down or have GPUs out of order

    @property
    def sentence(self) -> str:
        gpus = f"{self.gpus_used}/{self.gpus} GPUs busy" if self.gpus else ""
        jobs = ", ".join(f"{self.states[state]} {state.lower()}" for state in SHOWN_STATES if self.states.get(state))
        parts = (
            f"{self.nodes_up}/{self.nodes} nodes up",
            f"{self.threads_used}/{self.threads} threads busy",
            gpus,
            jobs or "no jobs",
            f"{self.alerts} alert{'s' * (self.alerts != 1)}" if self.alerts else "",
        )
        return " · ".join(part for part in parts if part)


def totals(nodes: Iterable[Json], job_states: Iterable[str]) -> Totals:
    known_nodes = list(nodes)
    up = [node for node in known_nodes if node_word(node) not in {"DOWN", "UNKNOWN"}]
    sick = [node for node in up if any(gpu.get("healthy") is False for gpu in items(inner(node, "facts"), "gpus"))]
    down = sum(1 for node in known_nodes if node_word(node) == "DOWN" and not node.get("drained"))
    return Totals(
        len(up),
        len(known_nodes),
        sum(count(node, "used_cpus") for node in up),
        sum(map(cpu_count, up)),
        sum(count(node, "used_gpus") for node in up),
        sum(len(items(inner(node, "facts"), "gpus")) for node in up),
        Counter(job_states),
        down + len(sick),
    )
