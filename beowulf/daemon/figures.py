"""Figures of each node as lines of text, written anew only where what they say is another value than before.

A thousand nodes have two dozen gauges each: writing all of them at each scrape took longer than everything else in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from beowulf.model.allocation import Share
from beowulf.model.node import Node, NodeId, NodeState
from beowulf.model.snapshot import Snapshot
from beowulf.probe import GpuLoad, Load

MIB = 1 << 20
END = b"# EOF\n"
T = TypeVar("T")
Lines = Sequence[bytes]  # of one node, by gauge; b"" where it has nothing to say
Standing = tuple[Node, Mapping[str, Share]]  # a node, and what jobs have of it


class NodeFigures:
    """Gauges of nodes, their loads and GPUs in the OpenMetrics format. For one thread at a time."""

    def __init__(self) -> None:
        self._nodes = _Kept([_head(f"node_{name}", told) for name, told, _ in NODE_GAUGES], node_lines)
        of_nodes = [_head(f"node_{name}", told) for name, told, _ in LOAD_GAUGES]
        of_gpus = [_head(f"gpu_{name}", told) for name, told, _ in GPU_GAUGES]
        self._loads = _Kept([*of_nodes, *of_gpus], load_lines)

    def text(self, snapshot: Snapshot, newest: Mapping[NodeId, Load]) -> bytes:
        standing = {name: (node, snapshot.held.get(name, NOTHING)) for name, node in snapshot.nodes.items()}
        return b"".join((*self._nodes.text(standing), *self._loads.text(newest)))


class _Kept(Generic[T]):
    """The lines of every node there is now, and the value each was written from."""

    def __init__(self, heads: Sequence[bytes], write: Callable[[NodeId, T], Lines]) -> None:
        self._heads = heads
        self._write = write
        self._known: dict[NodeId, tuple[T, Lines]] = {}

    def text(self, now: Mapping[NodeId, T]) -> Iterator[bytes]:
        """Gauge by gauge, as the format wants it: what it is, then every node's line in their order."""
        self._known = {name: self._of(name, now[name]) for name in sorted(now)}
        columns = zip(*(lines for _, lines in self._known.values()), strict=True) if now else ((),) * len(self._heads)
        for head, column in zip(self._heads, columns, strict=True):
            yield head
            yield from column

    def _of(self, name: NodeId, value: T) -> tuple[T, Lines]:
        known = self._known.get(name)
        return known if known is not None and known[0] == value else (value, self._write(name, value))


def _head(name: str, told: str) -> bytes:
    return f"# HELP beowulf_{name} {told}\n# TYPE beowulf_{name} gauge\n".encode()


def _line(name: str, labels: str, value: float) -> str:
    return f"beowulf_{name}{{{labels}}} {float(value)!r}\n"


def _label(name: str, value: str) -> str:
    escaped = value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return f'{name}="{escaped}"'


NOTHING: Mapping[str, Share] = {}

# name, what it is, how it is read: a gauge per node each
NODE_GAUGES: tuple[tuple[str, str, Callable[[Node, Mapping[str, Share]], float]], ...] = (
    ("up", "1 while the head hears the node.", lambda node, _: node.state is NodeState.UP),
    ("drained", "1 while it takes no new jobs.", lambda node, _: node.drained or bool(node.same_as)),
    ("threads", "Hardware threads jobs may have.", lambda node, _: len(node.usable_cpus)),
    ("threads_used", "Hardware threads jobs have.", lambda _, held: len(_used(held, "cpus"))),
    ("gpus", "Accelerators it has.", lambda node, _: len(node.facts.gpus)),
    ("gpus_used", "Accelerators jobs have.", lambda _, held: len(_used(held, "gpus"))),
    ("gpus_unhealthy", "Accelerators out of order.", lambda node, _: sum(not gpu.healthy for gpu in node.facts.gpus)),
    ("memory_bytes", "Memory jobs may have.", lambda node, _: node.usable_memory_mib * MIB),
    ("clock_skew_seconds", "Its clock less the head's.", lambda node, _: node.facts.clock_skew_s),
)


def _used(held: Mapping[str, Share], what: str) -> set[int]:
    return {one for share in held.values() for one in getattr(share, what)}


def node_lines(name: NodeId, standing: Standing) -> Lines:
    node, held = standing
    labels = f"{_label('node', name)},{_label('site', node.site)}"
    return [_line(f"node_{gauge}", labels, value(node, held)).encode() for gauge, _, value in NODE_GAUGES]


LOAD_GAUGES: tuple[tuple[str, str, Callable[[Load], float]], ...] = (
    ("cpu_busy_ratio", "Part of all its threads' time in use.", lambda load: load.cpu),
    ("memory_used_bytes", "Memory in use, by whomever.", lambda load: load.memory_used_mib * MIB),
    ("received_bytes_per_second", "Over its network.", lambda load: load.received_bytes_s),
    ("sent_bytes_per_second", "Over its network.", lambda load: load.sent_bytes_s),
    ("round_trip_seconds", "A heartbeat's way there and back over SSH.", lambda load: load.round_trip_ms / 1000),
)
GPU_GAUGES: tuple[tuple[str, str, Callable[[GpuLoad], float]], ...] = (
    ("busy_ratio", "Part of the time in use.", lambda gpu: gpu.utilisation),
    ("memory_used_bytes", "Its memory in use.", lambda gpu: gpu.memory_used_mib * MIB),
    ("temperature_celsius", "Its temperature.", lambda gpu: gpu.temperature_c),
    ("power_watts", "The power it draws.", lambda gpu: gpu.power_w),
)


def load_lines(name: NodeId, load: Load) -> Lines:
    """Only what nodes tell: what is not known is no 0."""
    label = _label("node", name)
    cards = [(gpu, f'{label},gpu="{gpu.index}"') for gpu in load.gpus]
    of_node = [_told(f"node_{gauge}", [(label, value(load))]) for gauge, _, value in LOAD_GAUGES]
    return [
        *of_node,
        *(_told(f"gpu_{gauge}", [(labels, value(gpu)) for gpu, labels in cards]) for gauge, _, value in GPU_GAUGES),
    ]


def _told(gauge: str, figures: Sequence[tuple[str, float]]) -> bytes:
    return "".join(_line(gauge, labels, value) for labels, value in figures if value >= 0).encode()
