"""One line per node with what it is doing right now, and the line on top of the whole cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from beowulf.views.amounts import duration, mebibytes
from beowulf.views.bars import bar, percent, spark
from beowulf.views.fields import Json, count, inner, items, known, number, text
from beowulf.views.gpus import MOST_POWER_W, gpu_loads
from beowulf.views.machines import dollars, machine_hourly_usd
from beowulf.views.nodes import cpu_count, node_row, node_word
from beowulf.views.text import printable

CLUSTER_COLUMNS = (
    "NODE", "STATE", "CPU", "2 MIN", "MEM", "GPU", "USE", "GPU MEM", "TEMP", "POWER", "NET B/s", "SITE", "DOING",
)  # fmt: skip
OF_GPUS = frozenset({"GPU", "USE", "GPU MEM", "TEMP", "POWER"})
BAR = 8
SPARK = 12
SHOWN_STATES = (("RUNNING", "running"), ("CONFIGURING", "starting"), ("COMPLETING", "ending"), ("PENDING", "waiting"))
LASTING_STATES = (("RUNNING", "running"), ("PENDING", "waiting"))
NO_MACHINE: Json = {}


class ClusterRow(NamedTuple):
    """Fields in the order of `CLUSTER_COLUMNS`. Those of GPUs begin with a character for each of them."""

    id: str
    state: str
    cpu: str
    minutes: str
    memory: str
    gpu: str
    use: str  # "█▁ 49%": the mean
    gpu_memory: str  # "▆▁ 18G": of all together
    temperature: str  # "▆▃ 78°": the hottest
    power: str  # "▇▁ 330W": of all together
    network: str
    site: str
    doing: str  # why it does nothing, its jobs, who else works on it


def cluster_row(
    node: Json, loads: Sequence[Json], jobs: Sequence[str], machine: Json = NO_MACHINE, now: float = 0.0
) -> ClusterRow:
    """``loads``: of the last two minutes, oldest first; ``jobs``: who has a part of it; ``machine``: if rented."""
    newest: Json = loads[-1] if loads else {}
    row = node_row(node)
    gpus = gpu_loads(node, newest)
    return ClusterRow(
        row.id,
        row.state,
        f"{bar(known(newest, 'cpu'), BAR)}{percent(known(newest, 'cpu'))} {row.cpus}",
        spark([known(load, "cpu") for load in loads], SPARK),
        _memory(node, newest),
        row.gpus,
        _each([one.use for one in gpus], lambda many: f"{100 * sum(many) / len(many):.0f}%"),
        _each(
            [one.memory for one in gpus], lambda many: mebibytes(sum(one.memory_mib for one in gpus if one.memory >= 0))
        ),
        _each([one.heat for one in gpus], lambda many: f"{100 * max(many):.0f}°"),
        _each([one.power for one in gpus], lambda many: f"{MOST_POWER_W * sum(many):.0f}W"),
        _network(newest),
        _site(node, machine, now),
        " · ".join(filter(None, (_jobs(jobs), row.reason))),
    )


def _site(node: Json, machine: Json, now: float) -> str:
    """``lab``; ``aws:us-east-1 $0.20/h spot, gone in 1:42`` of a rented one."""
    site = printable(text(node, "site"))
    if not machine:
        return site
    spot = " spot" if text(machine, "market") == "spot" else ""
    reclaim_at = number(machine, "reclaim_at")
    gone = f", gone in {duration(reclaim_at - now)}" if reclaim_at else ""
    return f"{site} {dollars(machine_hourly_usd(machine))}/h{spot}{gone}"


def _each(parts: Sequence[float], summed: Callable[[Sequence[float]], str]) -> str:
    told = [part for part in parts if part >= 0]
    return f"{spark(parts, len(parts))} {summed(told)}" if told else ""


def _jobs(jobs: Sequence[str]) -> str:
    more = f" and {len(jobs) - 3} more" if len(jobs) > 3 else ""
    return printable(f"job{'s' * (len(jobs) > 1)} {', '.join(jobs[:3])}{more}") if jobs else ""


def _memory(node: Json, load: Json) -> str:
    total, used = number(inner(node, "facts"), "memory_mib"), known(load, "memory_used_mib")
    if used < 0 or not total:
        return f"{'·' * BAR} {mebibytes(total)}"
    return f"{bar(used / total, BAR)} {mebibytes(used)}/{mebibytes(total)}"


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


class NodePart(NamedTuple):
    """What one node adds to the line on top."""

    up: int
    threads_used: int
    threads: int
    gpus_used: int
    gpus: int
    alert: str  # "n7 is down"; "" where nobody has to look at it


def node_part(node: Json) -> NodePart:
    word, gpus = node_word(node), items(inner(node, "facts"), "gpus")
    name = printable(text(node, "id"))
    if word in {"DOWN", "UNKNOWN"}:
        return NodePart(0, 0, 0, 0, 0, f"{name} is down" if word == "DOWN" and not node.get("drained") else "")
    if word == "REFUSED":  # what it has is counted under its other name
        return NodePart(0, 0, 0, 0, 0, f"{name} is the same machine as {printable(text(node, 'same_as'))}")
    sick = [text(gpu, "index") for gpu in gpus if gpu.get("healthy") is False]
    alert = f"{name}: GPU {' '.join(sick)} out of order" if sick else ""
    return NodePart(1, count(node, "used_cpus"), cpu_count(node), count(node, "used_gpus"), len(gpus), alert)


class Totals(NamedTuple):
    """What the top line says of the cluster."""

    nodes_up: int
    nodes: int
    threads_used: int
    threads: int
    gpus_used: int
    gpus: int
    states: Mapping[str, int]
    alerts: tuple[str, ...]

    @property
    def sentence(self) -> str:
        jobs = ", ".join(f"{self.states[state]} {word}" for state, word in SHOWN_STATES if self.states.get(state))
        busy = f"{self.gpus_used}/{self.gpus} GPUs" if self.gpus else f"{self.threads_used}/{self.threads} threads"
        return f"{self.nodes_up}/{self.nodes} nodes up · {busy} busy · {jobs or 'no jobs'}"

    @property
    def in_brief(self) -> str:
        """Without what is over within moments."""
        jobs = ", ".join(f"{self.states.get(state, 0)} {word}" for state, word in LASTING_STATES)
        busy = f"{self.gpus_used}/{self.gpus} GPUs" if self.gpus else f"{self.threads_used}/{self.threads} threads"
        return f"{self.nodes_up}/{self.nodes} nodes · {busy} · {jobs}"

    @property
    def alert(self) -> str:
        """``2 alerts: n7 is down``: the first of them; "" where there is none."""
        many = len(self.alerts)
        return f"{many} alert{'s' * (many != 1)}: {self.alerts[0]}" if many else ""


def totals(parts: Iterable[NodePart], states: Mapping[str, int]) -> Totals:
    """``states``: how many jobs are in each."""
    known_parts = list(parts)
    sums = [sum(column) for column in list(zip(*known_parts, strict=True))[:5]] if known_parts else [0] * 5
    alerts = tuple(part.alert for part in known_parts if part.alert)
    return Totals(sums[0], len(known_parts), sums[1], sums[2], sums[3], sums[4], states, alerts)
