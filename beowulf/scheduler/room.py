"""What each node has left, and whether one node's part of a request fits into it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from beowulf.model.allocation import Share
from beowulf.model.node import Gpu, Node
from beowulf.scheduler.answers import BAD_CONSTRAINTS, NODE_NOT_AVAILABLE, RESOURCES, Refusal
from beowulf.scheduler.parts import Part, joined, returned, taken
from beowulf.scheduler.request import Request
from beowulf.scheduler.wording import count, gpu_words, listed, size

WASTED = 1024  # a node that lets nobody join comes after any that does


@dataclass(frozen=True, slots=True)
class Room:
    """One node's free threads, GPUs and memory; ``tenants`` are the attempts that hold the rest.

    ``parts`` is what is left of GPUs that are used in part.
    """

    node: Node
    cpus: tuple[int, ...]
    gpus: tuple[Gpu, ...]
    memory_mib: int
    tenants: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()


Left: TypeAlias = tuple[int, int, int]
"""GPUs, threads and memory a node would have left: the smallest is the tightest fit."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A node that fits one node's part of a request; ``place`` is where it stands among all nodes by name.

    ``spare``: somebody waits for it later, so who is gone by then should rather take it than a node nobody waits for.
    """

    room: Room
    left: Left
    place: int
    spare: bool = False

    @property
    def node(self) -> Node:
        return self.room.node


def empty_room(node: Node) -> Room:
    usable = tuple(gpu for gpu in node.facts.gpus if gpu.usable)
    return Room(node, tuple(sorted(node.open_cpus)), usable, node.usable_memory_mib)


def take(room: Room, tag: str, share: Share) -> Room:
    cpus = frozenset(share.cpus)
    gpus, parts = taken((room.gpus, room.parts), frozenset(share.gpus), share.gpu_mib, share.owner)
    return Room(
        room.node,
        tuple(cpu for cpu in room.cpus if cpu not in cpus),
        gpus,
        room.memory_mib - share.memory_mib,
        (*room.tenants, tag),
        parts,
    )


def give_back(room: Room, tag: str, share: Share) -> Room:
    """``room`` once the share is swept."""
    cpus, node = {*room.cpus, *share.cpus}, room.node
    gpus, parts = returned((room.gpus, room.parts), node, frozenset(share.gpus), share.gpu_mib, share.owner)
    return Room(
        node,
        tuple(cpu for cpu in node.open_cpus if cpu in cpus),
        gpus,
        room.memory_mib + share.memory_mib,
        tuple(tenant for tenant in room.tenants if tenant != tag),
        parts,
    )


def room_of(node: Node, held: Mapping[str, Share]) -> Room:
    """What is left on ``node``."""
    return less(empty_room(node), held)


def less(room: Room, held: Mapping[str, Share]) -> Room:
    """An empty room without what is held. One pass over all of it: a node may hold hundreds of one-thread shares."""
    if not held:
        return room
    cpus = {cpu for share in held.values() for slot in share.ranks for cpu in slot.cpus}
    whole = {gpu for share in held.values() if not share.gpu_mib for slot in share.ranks for gpu in slot.gpus}
    cards = taken((room.gpus, ()), frozenset(whole), 0, "")
    for share in held.values():
        if share.gpu_mib:
            cards = taken(cards, frozenset(share.gpus), share.gpu_mib, share.owner)
    return Room(
        room.node,
        tuple([cpu for cpu in room.cpus if cpu not in cpus]),
        cards[0],
        room.memory_mib - sum([share.memory_mib for share in held.values()]),
        tuple(sorted(held)),
        cards[1],
    )


def unavailable(node: Node) -> Refusal | None:
    if node.drained:
        return Refusal(NODE_NOT_AVAILABLE, f"drained: {node.draining_reason or 'no reason given'}")
    if node.same_as:
        return Refusal(NODE_NOT_AVAILABLE, f"the same machine as {node.same_as}")
    if not node.schedulable:
        return Refusal(NODE_NOT_AVAILABLE, f"{node.state.lower()}: {node.reason or 'no answer so far'}")
    return None


def busy_with_others(node: Node) -> Refusal | None:
    return Refusal(NODE_NOT_AVAILABLE, "; ".join(node.others)) if node.others else None


def not_wanted(request: Request, node: Node) -> Refusal | None:
    """By name and kind alone: what no waiting changes."""
    return _not_named(request, node) or _wrong_kind(request, node)


def _not_named(request: Request, node: Node) -> Refusal | None:
    if request.nodelist and node.id not in request.nodelist:
        return Refusal(BAD_CONSTRAINTS, "not in the job's nodelist")
    if node.id in request.exclude:
        return Refusal(BAD_CONSTRAINTS, "excluded by the job")
    return None


def _wrong_kind(request: Request, node: Node) -> Refusal | None:
    if request.group and request.group not in node.groups:
        return Refusal(BAD_CONSTRAINTS, f"not in group {request.group}")
    if node.rented and not request.rented:
        return Refusal(BAD_CONSTRAINTS, "rented, and the job's burst.policy is never")
    if not at_site(request.site, node.site):
        return Refusal(BAD_CONSTRAINTS, f"at {node.site}, and the job is for {request.site}")
    if request.cpu_model and request.cpu_model != node.facts.cpu_model:
        return Refusal(BAD_CONSTRAINTS, f"has no {request.cpu_model}")
    if request.system_mpi and not node.facts.mpi:
        return Refusal(BAD_CONSTRAINTS, "has no MPI of its own, and the job asks for the system's")
    return None


def at_site(wanted: str, site: str) -> bool:
    """Whether ``aws:us-east-1`` is meant by ``aws:us-east-1``, ``aws`` or nothing."""
    return not wanted or site == wanted or site.startswith(f"{wanted}:")


def offer(request: Request, room: Room, place: int) -> Offer | Refusal:
    """What this node would give to one node's part of the request, or what it lacks."""
    if room.node.id in request.avoid:
        return Refusal(RESOURCES, "an earlier attempt of this job was not cleared there yet, or never came to run")
    lack = _lack(request, room)
    return Refusal(RESOURCES, lack) if lack is not None else Offer(room, _left(request, room), place)


def left_over(request: Request, room: Room) -> Left | None:
    """What a room of this shape would have left, whatever its node's name; None when the request does not fit."""
    if _wrong_kind(request, room.node) is not None or _lack(request, room) is not None:
        return None
    return _left(request, room)


def _left(request: Request, room: Room) -> Left:
    wanted = request.resources
    cpus = 0 if wanted.all_cpus else len(room.cpus) - request.cpus
    return _gpus_left(request, room), cpus, room.memory_mib - wanted.memory_mib


def _gpus_left(request: Request, room: Room) -> int:
    """Below 0: no further GPU is touched."""
    if not request.resources.shares_gpu:
        return len(room.gpus) - request.resources.gpus
    if joins(request, room) is not None:
        return -1
    # A part of a GPU that nobody may join uses up all of it.
    return len(room.gpus) - 1 + (0 if room.node.share_gpus > 1 else WASTED)


def joins(request: Request, room: Room) -> Part | None:
    """The GPU in use that a job with a part would join; None for those that would need another."""
    alike = {gpu.index for gpu in suitable(request, (part.gpu for part in room.parts))}
    parts = (part for part in room.parts if part.gpu.index in alike)
    return joined(request.resources, request.owner, room.node, parts)


def allowed(request: Request, node_id: str) -> bool:
    """By name alone, now: whether the request takes this node."""
    named = not request.nodelist or node_id in request.nodelist
    return named and node_id not in request.exclude and node_id not in request.avoid


def _lack(request: Request, room: Room) -> str | None:
    lack = _lacks(request, room)
    return f"{lack}; {room.node.others[0]}" if lack and room.node.others else lack


def _at_home(tenants: Sequence[str]) -> str:
    """``job 6 is``, ``jobs 6 and 7 are``"""
    jobs = [tag.rpartition(".")[0] for tag in tenants]
    return f"jobs {listed(jobs)} are" if len(jobs) > 1 else f"job {jobs[0]} is"


def _lacks(request: Request, room: Room) -> str | None:
    wanted, node = request.resources, room.node
    if wanted.all_cpus and room.tenants:
        return f"needs the whole node, where {_at_home(room.tenants)}"
    if wanted.gpus:
        free, known = suitable(request, room.gpus), suitable(request, node.facts.gpus)
        fits_in = wanted.shares_gpu and joins(request, room) is not None
        if wanted.shares_gpu and known and not free and not fits_in:
            return f"needs {gpu_words(request)}, and none has so much left for it"
        if not known and node.facts.gpus and not fits_in:
            return f"needs {gpu_words(request)}, has {_kinds(node.facts.gpus)}"
        if len(free) < wanted.gpus and not fits_in:
            return _numbers(gpu_words(request), len(free), sum(gpu.healthy for gpu in known))
    if not wanted.all_cpus and len(room.cpus) < request.cpus:
        return _numbers(count(request.cpus, "thread"), len(room.cpus), len(node.usable_cpus))
    if wanted.all_cpus and not room.cpus:
        return "has no thread to give"
    if wanted.memory_mib > room.memory_mib:
        verb = "free" if room.tenants else "there"
        return f"needs {size(wanted.memory_mib)} memory, {size(max(0, room.memory_mib))} {verb}"
    disk = disk_free_mib(node)
    if disk is not None and wanted.disk_mib > disk:
        return f"needs {size(wanted.disk_mib)} disk, {size(disk)} free"
    return None


def _kinds(gpus: Iterable[Gpu]) -> str:
    """``2 K80 and 1 T4``"""
    kinds = Counter(gpu.kind for gpu in gpus)
    return listed(f"{number} {kind}" for kind, number in kinds.items())


def _numbers(need: str, free: int, total: int) -> str:
    return f"needs {need}, {free} free" if free < total else f"needs {need}, has {total}"


def suitable(request: Request, gpus: Iterable[Gpu]) -> tuple[Gpu, ...]:
    wanted = request.resources
    kinds, least = {kind.lower() for kind in wanted.gpu_kinds}, capability(wanted.gpu_capability)
    least_mib = max(wanted.gpu_memory_mib, wanted.gpu_part_mib)
    return tuple(
        gpu
        for gpu in gpus
        if (not kinds or gpu.kind.lower() in kinds)
        and gpu.memory_mib >= least_mib
        and (not least or capability(gpu.compute_capability) >= least)
    )


def capability(text: str) -> tuple[int, ...]:
    """``"8.6"`` → (8, 6); () where there is no such notion."""
    return tuple(int(part) for part in text.split(".") if part.isdigit())


Shape: TypeAlias = tuple[object, ...]


def trait_of(node: Node) -> Shape:
    """What makes nodes alike when nothing runs on them."""
    gpus = tuple((gpu.kind, gpu.memory_mib, gpu.compute_capability, gpu.usable) for gpu in node.facts.gpus)
    kind = (
        node.site,
        node.rented,
        node.groups,
        node.facts.mpi,
        node.facts.cpu_model,
        node.flakiness,
        disk_free_mib(node),
        node.share_gpus,
        node.share_between_users,
    )
    return (*kind, len(node.usable_cpus), len(node.open_cpus), node.usable_memory_mib, gpus)


def disk_free_mib(node: Node) -> int | None:
    """Free space where the node's folder lies; None when no probe said."""
    home = node.root or node.facts.home
    around = [fs for fs in node.facts.file_systems if (home + "/").startswith(fs.path.rstrip("/") + "/")]
    return max(around, key=lambda fs: len(fs.path)).free_mib if around else None
