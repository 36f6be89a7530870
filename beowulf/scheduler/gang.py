"""Which nodes make up a gang: all of it or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from beowulf.model.allocation import Allocation, RankSlot, Share
from beowulf.model.node import Node, NodeId
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler.answers import NODE_NOT_AVAILABLE, RESOURCES, Placement, Refusal
from beowulf.scheduler.request import Request
from beowulf.scheduler.room import Offer, split
from beowulf.scheduler.wording import NaturalKey, answers_of, listed, natural, wants

Apart = Mapping[NodeId, frozenset[NodeId]]
"""Which nodes cannot talk to which, both ways round."""


def apart_now(snapshot: Snapshot, now: float) -> Apart:
    pairs: dict[NodeId, set[NodeId]] = {}
    for (one, other), until in snapshot.unreachable.items():
        if until > now:
            pairs.setdefault(one, set()).add(other)
            pairs.setdefault(other, set()).add(one)
    return {node: frozenset(others) for node, others in pairs.items()}


def gather(request: Request, answers: Mapping[NodeId, Offer | Refusal], apart: Apart) -> Placement | Refusal:
    """The gang these nodes' answers allow: as many as are free between the least and the most that were asked for."""
    offers = [answer for answer in answers.values() if isinstance(answer, Offer)]
    if len(offers) >= request.min_nodes:
        chosen = _choose(request, offers, apart)
        if len(chosen) >= request.min_nodes:
            return Placement(_allocation(request, chosen))
    return Refusal(RESOURCES, shortage(request, answers, apart))


def _choose(request: Request, offers: list[Offer], apart: Apart) -> list[Offer]:
    if request.max_nodes == 1:
        return [min(offers, key=_tightness)]
    best: list[Offer] = []
    for pool in _pools(request, offers):
        gang = _largest_gang(sorted(pool, key=_tightness), request.max_nodes, apart)
        if len(gang) > len(best):
            best = gang
    return best


def _tightness(offer: Offer) -> tuple[int, int, int, NaturalKey]:
    return offer.order


def _pools(request: Request, offers: list[Offer]) -> list[list[Offer]]:
    """Narrow sets of nodes before wide ones. A site that holds the gang is not left for more nodes elsewhere."""
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
    enough = [pool for pool in within_sites if len(pool) >= request.min_nodes]
    return enough or list(alike.values())


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


def _allocation(request: Request, chosen: list[Offer]) -> Allocation:
    shares = []
    for index, offer in enumerate(sorted(chosen, key=lambda offer: natural(offer.node.id))):
        cpus, gpus = split(offer.cpus, request.procs), split(offer.gpus, request.procs)
        first = index * request.procs
        slots = tuple(RankSlot(first + local, local, cpus[local], gpus[local]) for local in range(request.procs))
        shares.append(Share(offer.node.id, slots, offer.memory_mib))
    return Allocation(tuple(shares))


def shortage(request: Request, answers: Mapping[NodeId, Offer | Refusal], apart: Apart, free: str = "free ") -> str:
    """What is missing and where; without ``free`` the answers are those of idle nodes."""
    have = sorted((node for node, answer in answers.items() if isinstance(answer, Offer)), key=natural)
    lacking = sorted(
        ((node, answer.sentence) for node, answer in answers.items() if isinstance(answer, Refusal)),
        key=lambda pair: natural(pair[0]),
    )
    if request.min_nodes == 1:
        if not lacking:
            return f"no node for {wants(request, free)}"
        return lacking[0][1] if len(lacking) == 1 else f"no node has {wants(request, free)} ({answers_of(lacking)})"
    if len(have) >= request.min_nodes:
        return f"needs {request.min_nodes} nodes that reach each other; {_gaps(have, apart)}"
    owners = f"only {have[0]} has them" if len(have) == 1 else f"{listed(have)} have them"
    found = owners if have else f"none has them ({answers_of(lacking)})"
    return f"needs {request.min_nodes} nodes with {wants(request, free)} each; {found}"


def _gaps(names: Sequence[NodeId], apart: Apart) -> str:
    """``n1 and n3 do not reach each other``."""
    pairs = [f"{one} and {other}" for one in names for other in names if one < other and other in apart.get(one, ())]
    return f"{listed(pairs)} do not reach each other" if pairs else f"{listed(names)} have unlike versions of MPI"


def never_gathers(request: Request, fitting: Sequence[Offer], asleep: Sequence[tuple[Node, Refusal]]) -> Refusal:
    """Why the nodes that are up could not run it even if they were idle, given those that would do if they were up."""
    need = f"needs {request.min_nodes} nodes with {wants(request, '')} each" if request.min_nodes > 1 else ""
    need = need or f"needs a node with {wants(request, '')}"
    names = f"; up: {listed(offer.node.id for offer in fitting)}" if fitting else "; none is up"
    sleepers = ", ".join(f"{node.id} ({refusal.sentence})" for node, refusal in asleep[:3])
    return Refusal(NODE_NOT_AVAILABLE, f"{need}{names}; would do: {sleepers}")
