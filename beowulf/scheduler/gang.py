"""Which nodes make up a gang: all of it or nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from beowulf.model.allocation import Allocation, RankSlot, Share
from beowulf.model.node import Node, NodeId
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler.answers import NODE_NOT_AVAILABLE, Refusal
from beowulf.scheduler.picking import part_of, pick, split
from beowulf.scheduler.request import Request
from beowulf.scheduler.room import Left, Offer
from beowulf.scheduler.wording import answers_of, listed, wants

Apart = Mapping[NodeId, frozenset[NodeId]]
"""Which nodes cannot talk to which, both ways round."""


def apart_now(snapshot: Snapshot, now: float) -> Apart:
    pairs: dict[NodeId, set[NodeId]] = {}
    for (one, other), until in snapshot.unreachable.items():
        if until > now:
            pairs.setdefault(one, set()).add(other)
            pairs.setdefault(other, set()).add(one)
    return {node: frozenset(others) for node, others in pairs.items()}


@dataclass(frozen=True, slots=True)
class Gang:
    """``places`` of its nodes among all nodes, in the order of the shares."""

    allocation: Allocation
    places: tuple[int, ...]


def gather(request: Request, offers: list[Offer], apart: Apart) -> Gang | None:
    """The gang these offers allow: as many as are free between the least and the most that were asked for."""
    if len(offers) < request.min_nodes:
        return None
    chosen = _choose(request, offers, apart)
    return _gang(request, chosen) if len(chosen) >= request.min_nodes else None


def together(request: Request, offers: Sequence[Offer], apart: Apart) -> list[Offer]:
    """The first ``min_nodes`` of these, in the order given, that may work together; empty when there are too few."""
    alike: dict[tuple[str, str], list[Offer]] = {}
    for offer in offers:
        version = offer.node.facts.mpi if request.system_mpi else ""
        alike.setdefault((offer.node.site, version), []).append(offer)
    for same in alike.values():
        chosen = _largest_gang(same, request.min_nodes, apart)
        if len(chosen) >= request.min_nodes:
            return chosen
    return []


def companions(request: Request, offers: Sequence[Offer], apart: Apart) -> list[Offer]:
    """Nodes of our own at one site that machines elsewhere may join in one gang: fewer than that, and as many as there
    are. Empty where a site has enough for all of it, or none has any."""
    sites: dict[str, list[Offer]] = {}
    for offer in sorted((one for one in offers if not one.node.rented), key=_liking(request)):
        sites.setdefault(offer.node.site, []).append(offer)
    found = [_largest_gang(there, request.min_nodes, apart) for there in sites.values()]
    best = max(found, key=len, default=[])
    return best if len(best) < request.min_nodes else []


def stretched(request: Request, here: list[Offer], there: list[Offer]) -> Gang:
    """One gang over two sites; rank 0 stands here."""
    return _gang(request, [*here, *there])


def _choose(request: Request, offers: list[Offer], apart: Apart) -> list[Offer]:
    if request.max_nodes == 1:
        return [min(offers, key=_liking(request))]
    best: list[Offer] = []
    for pool in _pools(request, offers):
        gang = _largest_gang(sorted(pool, key=_liking(request)), request.max_nodes, apart)
        if len(gang) > len(best):
            best = gang
    return best


Liking = tuple[bool, int, Left, int]


def _liking(request: Request) -> Callable[[Offer], Liking]:
    """The least is liked best: what somebody waits for later, what was not lost lately, the tightest fit, by name."""

    def liking(offer: Offer) -> Liking:
        return not offer.spare, offer.node.flakiness if request.steady else 0, offer.left, offer.place

    return liking


def _pools(request: Request, offers: list[Offer]) -> list[list[Offer]]:
    """Narrow sets of nodes before wide ones, each within one site."""
    version = (lambda node: node.facts.mpi) if request.system_mpi else (lambda node: "")
    alike: dict[str, list[Offer]] = {}
    for offer in offers:
        alike.setdefault(version(offer.node), []).append(offer)
    within_sites: list[list[Offer]] = []
    for same in alike.values():
        sites: dict[str, list[Offer]] = {}
        groups: dict[tuple[str, str], list[Offer]] = {}
        for offer in same:
            sites.setdefault(offer.node.site, []).append(offer)
            for group in offer.node.groups:
                groups.setdefault((offer.node.site, group), []).append(offer)
        within_sites += [groups[key] for key in sorted(groups)] + [sites[key] for key in sorted(sites)]
    return [pool for pool in within_sites if len(pool) >= request.min_nodes]


def _largest_gang(offers: Sequence[Offer], most: int, apart: Apart) -> list[Offer]:
    """The first ``most`` that all reach each other; nodes with fewer known gaps are tried first."""
    if not any(offer.node.id in apart for offer in offers):
        return list(offers[:most])
    names = {offer.node.id for offer in offers}
    ordered = sorted(offers, key=lambda offer: len(apart.get(offer.node.id, frozenset()) & names))
    best: list[Offer] = []
    for first in ordered:
        gang = [first]
        for offer in ordered:
            near = apart.get(offer.node.id, frozenset())
            if offer is not first and len(gang) < most and not any(member.node.id in near for member in gang):
                gang.append(offer)
        best = max(best, gang, key=len)
        if len(best) == most:
            break
    return best


def _gang(request: Request, chosen: list[Offer]) -> Gang:
    shares = []
    ordered = sorted(chosen, key=lambda offer: (offer.node.rented, offer.place))
    for index, offer in enumerate(ordered):
        threads, devices = pick(request, offer.room)
        cpus, gpus = split(threads, request.procs), split(devices, request.procs)
        first = index * request.procs
        slots = tuple(RankSlot(first + local, local, cpus[local], gpus[local]) for local in range(request.procs))
        part = part_of(request, offer.node, devices)
        shares.append(Share(offer.node.id, slots, request.resources.memory_mib, *part, request.owner))
    return Gang(Allocation(tuple(shares), _device(ordered, shares)), tuple(offer.place for offer in ordered))


def _device(offers: Sequence[Offer], shares: Sequence[Share]) -> str:
    """The one kind that all ranks compute on; "" for a mixture."""
    kinds: set[str] = set()
    for offer, share in zip(offers, shares, strict=True):
        taken = frozenset(share.gpus)
        kinds |= {gpu.kind for gpu in offer.room.gpus if gpu.index in taken} if taken else {offer.node.facts.cpu_model}
    return kinds.pop() if len(kinds) == 1 else ""


@dataclass(frozen=True, slots=True)
class Lacking:
    """What nodes lack: the first few, by name, and how many in all."""

    first: tuple[tuple[NodeId, str], ...] = ()
    total: int = 0

    def plus(self, node: NodeId, sentence: str) -> Lacking:
        return Lacking((*self.first, (node, sentence)) if len(self.first) < 3 else self.first, self.total + 1)


def shortage(
    request: Request,
    have: Sequence[NodeId],
    lacking: Lacking,
    apart: Apart,
    sites: Mapping[NodeId, str],
    free: str = "free ",
) -> str:
    """What is missing and where; ``have``: the nodes that fit, and where they stand.

    Without ``free`` the answers are those of idle nodes.
    """
    if request.min_nodes == 1:
        if not lacking.total:
            return f"no node for {wants(request, free)}"
        if lacking.total == 1:
            return lacking.first[0][1]
        return f"no node has {wants(request, free)} ({answers_of(lacking.first, lacking.total)})"
    if len(have) >= request.min_nodes and len(set(sites.values())) > 1:
        there = Counter(sites[name] for name in have)
        numbers = listed(f"{site} has {number}" for site, number in sorted(there.items()))
        return f"needs {request.min_nodes} nodes with {wants(request, free)} each at one site; {numbers}"
    if len(have) >= request.min_nodes:
        return f"needs {request.min_nodes} nodes that reach each other; {_gaps(have, apart)}"
    owners = f"only {have[0]} has them" if len(have) == 1 else f"{listed(have)} have them"
    found = owners if have else f"none has them ({answers_of(lacking.first, lacking.total)})"
    return f"needs {request.min_nodes} nodes with {wants(request, free)} each; {found}"


def _gaps(names: Sequence[NodeId], apart: Apart) -> str:
    """``n1 and n3 do not reach each other``."""
    pairs = [f"{one} and {other}" for one in names for other in names if one < other and other in apart.get(one, ())]
    return f"{listed(pairs)} do not reach each other" if pairs else f"{listed(names)} have unlike versions of MPI"


def never_gathers(request: Request, fitting: Sequence[Offer], asleep: Sequence[tuple[Node, Refusal]]) -> Refusal:
    """Why the nodes that are up could not run it even if they were idle, given those that would do if they were up."""
    need = f"needs {request.min_nodes} nodes with {wants(request, '')} each" if request.min_nodes > 1 else ""
    need = need or f"needs a node with {wants(request, '')}"
    free = "free of others" if any(node.schedulable for node, _ in asleep) else "up"
    names = f"; up: {listed(offer.node.id for offer in fitting)}" if fitting else f"; none is {free}"
    sleepers = ", ".join(f"{node.id} ({refusal.sentence})" for node, refusal in asleep[:3])
    return Refusal(NODE_NOT_AVAILABLE, f"{need}{names}; would do: {sleepers}")
