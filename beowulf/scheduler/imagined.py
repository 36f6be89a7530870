"""Nodes that nobody has yet: what a machine on offer would be, and whether a job would fit there."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from beowulf.model.cloud import Offer
from beowulf.model.market import Accelerator, MarketRules
from beowulf.model.node import Endpoint, Facts, Gpu, Node, NodeState
from beowulf.scheduler.request import Request
from beowulf.scheduler.room import Offer as Fit
from beowulf.scheduler.room import empty_room, not_wanted
from beowulf.scheduler.room import offer as answer
from beowulf.scheduler.state import State

KEPT_BY_SYSTEM = 0.08  # of the memory that is sold, kernel and firmware keep about so much at the most
KEPT_BY_DRIVER = 0.07


@lru_cache(maxsize=20_000)
def imaginary(offer: Offer, kind: Accelerator) -> Node:
    """The node that a machine of this offer would be, with the least it may have."""
    gpu_mib = int(offer.accelerator_memory_mib * (1.0 - KEPT_BY_DRIVER))
    plain = Gpu(0, offer.accelerator, kind.vendor, offer.accelerator, gpu_mib, compute_capability=kind.capability)
    gpus = tuple(replace(plain, index=index) for index in range(offer.accelerators))
    memory_mib = int(offer.memory_mib * (1.0 - KEPT_BY_SYSTEM))
    facts = Facts(cpus=tuple(range(offer.cpus)), memory_mib=memory_mib, gpus=gpus)
    name = f"{offer.machine_type}@{offer.site}"
    return Node(name, Endpoint(name), 0, site=offer.site, rented=True, state=NodeState.UP, facts=facts)


def fits(request: Request, offer: Offer, rules: MarketRules) -> bool:
    """Accelerators that need programs of their own are for jobs that name them."""
    return _fits(request, offer, rules.accelerators.get(offer.accelerator, Accelerator()))


@lru_cache(maxsize=20_000)  # many jobs ask for the same of the same offers, plan after plan
def _fits(request: Request, offer: Offer, kind: Accelerator) -> bool:
    if offer.accelerators and kind.vendor != "nvidia" and not request.resources.gpu_kinds:
        return False
    node = imaginary(offer, kind)
    return not_wanted(request, node) is None and isinstance(answer(request, empty_room(node), 0), Fit)


def speed_here(state: State, request: Request, rules: MarketRules) -> float:
    """Of the slowest accelerator here that would do; 0 where the job wants none, or nobody knows."""
    if not request.resources.gpus:
        return 0.0
    nodes = [node for node in state.snapshot.nodes.values() if node.schedulable and not node.rented]
    able = [node for node in nodes if isinstance(answer(request, empty_room(node), 0), Fit)]
    kinds = {gpu.kind for node in able for gpu in node.facts.gpus}
    return min((rules.accelerators.get(kind, Accelerator()).speed for kind in kinds), default=0.0)
