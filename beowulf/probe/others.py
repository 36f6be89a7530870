"""Who else works on a node: processes that are no job's of this cluster, on its GPUs and on its threads."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from beowulf.model.node import Gpu
from beowulf.probe.answers import Answer, Answers, whole

BUSY = 0.5  # of a thread: a process that takes less is no load worth speaking of
IN_USE_MIB = 1024  # what a display may keep of a GPU's memory without being at work on it


@dataclass(frozen=True, slots=True)
class Process:
    """``used_s``: processor time so far; ``started``: ticks since boot, which with ``pid`` is the process."""

    pid: int
    started: int
    used_s: float
    user: str
    name: str
    ours: bool

    @property
    def words(self) -> str:
        return f"{self.name} (pid {self.pid}{f' of {self.user}' if self.user else ''})"


@dataclass(frozen=True, slots=True)
class Seen:
    """One look. ``at_s`` is the node's uptime; ``on_gpus`` and ``used_mib`` are by driver index."""

    at_s: float = 0.0
    busy: tuple[Process, ...] = ()
    on_gpus: tuple[tuple[int, Process], ...] = ()
    used_mib: tuple[tuple[int, int], ...] = ()


def look(answers: Mapping[str, Mapping[str, Any]], cluster: str) -> Seen:
    """What an answer to `questions.use` says; ``cluster`` is whose tags are ours."""
    said = Answers(answers)
    load, cards = said.of("processes"), said.of("gpu use")
    busy = tuple(filter(None, (_process(row, cluster) for row in _rows(load, "process", 6))))
    uptime = next((float(at) for (at,) in _rows(load, "uptime", 1) if whole(at) is not None), 0.0)
    gpus = [(int(index), uuid, whole(mib) or 0) for index, uuid, mib in _rows(cards, "gpu", 3) if index.isdigit()]
    places = {uuid: index for index, uuid, _ in gpus}
    named = [(uuid, _process(row, cluster)) for uuid, *row in _rows(cards, "process", 7)]
    on_gpus = tuple((places[uuid], process) for uuid, process in named if uuid in places and process is not None)
    return Seen(uptime, busy, on_gpus, tuple((index, mib) for index, _, mib in gpus))


def _rows(answer: Answer, kind: str, fields: int) -> list[list[str]]:
    rows = (line.split("\t") for line in answer.lines)
    return [row[1:] for row in rows if row[0] == kind and len(row) == fields + 1]


def _process(fields: list[str], cluster: str) -> Process | None:
    """From pid, start, seconds, user, tag, name."""
    pid, started, used_s = (whole(field) for field in fields[:3])
    if pid is None or started is None or used_s is None:
        return None
    ours = fields[4].partition("/")[0] == f"BEOWULF_JOB={cluster}"
    return Process(pid, started, float(used_s), fields[3], fields[5][:40], ours)


def on_gpus(seen: Seen, gpus: Collection[Gpu], held: Collection[int], user: str) -> dict[int, str]:
    """By index, the GPUs that are not ours to give, each with the reason.

    ``held``: those our jobs have. A process of ``user``, the node's own, on one of them may be a job's that dropped its
    environment.
    """
    found: dict[int, str] = {}
    for index, process in seen.on_gpus:
        if not process.ours and not (index in held and process.user == user):
            found.setdefault(index, f"used by {process.words}, no job of this cluster")
    named = {index for index, _ in seen.on_gpus}
    sizes = {gpu.index: gpu.memory_mib for gpu in gpus}
    for index, mib in seen.used_mib:
        if index not in named and index not in held and mib > max(IN_USE_MIB, sizes.get(index, 0) // 10):
            found[index] = f"{mib} MiB of its memory are in use by a process that nvidia-smi does not name"
    return found


def on_threads(before: Seen, now: Seen) -> tuple[int, str]:
    """(threads that others kept busy between two looks, who), rounded; (0, "") after a reboot."""
    passed_s = now.at_s - before.at_s
    if passed_s <= 0:
        return 0, ""
    earlier = {(process.pid, process.started): process.used_s for process in before.busy}
    rates = [
        ((process.used_s - earlier.get((process.pid, process.started), 0.0)) / passed_s, process)
        for process in now.busy
        if not process.ours
    ]
    # Whatever was not told of last time had less than ten seconds by then.
    busy = sorted(((min(rate, 4096.0), one) for rate, one in rates if rate >= BUSY), key=lambda pair: -pair[0])
    threads = round(sum(rate for rate, _ in busy))
    if not threads:
        return 0, ""
    more = f" and {len(busy) - 1} more" if len(busy) > 1 else ""
    return threads, f"{threads} thread{'s' * (threads != 1)} used by {busy[0][1].words}{more}, no job of this cluster"
