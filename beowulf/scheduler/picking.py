"""Which threads and GPUs of a node that fits a job gets."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

from beowulf.model.node import Gpu, Node
from beowulf.scheduler.parts import opened, part_mib
from beowulf.scheduler.request import Request
from beowulf.scheduler.room import Room, joins, suitable

T = TypeVar("T")


def pick(request: Request, room: Room) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The threads and GPUs a room that fits gives."""
    wanted = request.resources
    cpus = room.cpus if wanted.all_cpus else pick_cpus(room.cpus, request.cpus, _from_the_top(room.node))
    return cpus, _pick_devices(request, room)


def _pick_devices(request: Request, room: Room) -> tuple[int, ...]:
    if not request.resources.shares_gpu:
        return pick_gpus(suitable(request, room.gpus), request.resources.gpus) if request.resources.gpus else ()
    gpu = pick_part(request, room)
    return (gpu.index,) if gpu is not None else ()


def pick_part(request: Request, room: Room) -> Gpu | None:
    """The GPU of which the request gets a part: rather one that is in use in part already."""
    part = joins(request, room)
    return part.gpu if part is not None else opened(suitable(request, room.gpus))


def part_of(request: Request, node: Node, devices: tuple[int, ...]) -> tuple[int, float]:
    """(MiB, fraction of the GPU) that a share takes of its one GPU; (0, 1.0): its GPUs are its own."""
    gpu = next((gpu for gpu in node.facts.gpus if gpu.index in devices), None)
    mib = part_mib(request.resources, gpu) if gpu is not None and request.resources.shares_gpu else 0
    return (mib, mib / gpu.memory_mib) if gpu is not None and mib else (0, 1.0)


def _from_the_top(node: Node) -> bool:
    """Neighbours begin at opposite ends: nodes that are one machine's (a lab's) would all crowd its first thread."""
    return sum(node.id.encode()) % 2 == 1


def pick_cpus(free: tuple[int, ...], number: int, from_the_top: bool = False) -> tuple[int, ...]:
    """``number`` of the free threads: the smallest unbroken run that is long enough, else the longest runs first."""
    runs: list[list[int]] = []
    for cpu in free:
        if runs and cpu == runs[-1][-1] + 1:
            runs[-1].append(cpu)
        else:
            runs.append([cpu])
    enough = [run for run in runs if len(run) >= number]
    if enough:
        run = min(enough, key=lambda run: (len(run), run[0]))
        return tuple(run[-number:] if from_the_top else run[:number])
    longest_first = sorted(runs, key=lambda run: (-len(run), run[0]))
    return tuple(sorted([cpu for run in longest_first for cpu in run][:number]))


def pick_gpus(free: Sequence[Gpu], number: int) -> tuple[int, ...]:
    """Driver indices: all of one kind where one kind has enough, and rather the kind with the fewest left."""
    kinds: dict[str, list[Gpu]] = {}
    for gpu in free:
        kinds.setdefault(gpu.kind, []).append(gpu)
    enough = [gpus for gpus in kinds.values() if len(gpus) >= number]
    pool = min(enough, key=lambda gpus: (len(gpus), gpus[0].memory_mib, gpus[0].kind)) if enough else free
    return tuple(sorted(gpu.index for gpu in pool)[:number])


def split(items: Sequence[T], parts: int) -> list[tuple[T, ...]]:
    """``parts`` unbroken pieces, as equal as can be; with fewer items than parts, neighbours share one."""
    if not items:
        return [()] * parts
    if len(items) < parts:
        return [(items[part * len(items) // parts],) for part in range(parts)]
    edges = [part * len(items) // parts for part in range(parts + 1)]
    return [tuple(items[start:end]) for start, end in pairwise(edges)]
