"""A lab with other machines: ``+2 RTX3090``, ``+1 node like n02``, ``-n03``; several are joined by ``and``."""

from __future__ import annotations

import re
from dataclasses import replace

from beowulf.model.errors import BadInput
from beowulf.model.node import Endpoint, Gpu, Node, NodeId
from beowulf.model.snapshot import Snapshot
from beowulf.specs.complaints import Wrong
from beowulf.specs.gpus import gpu_kind
from beowulf.specs.hosts import host_names
from beowulf.specs.quantities import memory_mib

WHERE = "--what-if"
GRAMMAR = "'+2 RTX3090', '+2 A40 48GB', '+1 node like n02', '-n03', '-n[01-04]'; several: '+2 RTX3090 and -n03'"
MOST = 10_000
_LIKE = re.compile(r"\+\s*([0-9]{1,5})\s+nodes?\s+like\s+(\S+)")
_CARDS = re.compile(r"\+\s*([0-9]{1,5})\s+(\S+)(?:\s+(\S+))?")


def with_changes(lab: Snapshot, text: str) -> Snapshot:
    """``lab`` after the purchases and retirements that ``text`` names. Raises `BadInput`."""
    after = lab
    for part in re.split(r"\s+and\s+", text.strip()):
        after = _changed(lab, after, part.strip())
    return after


def _changed(lab: Snapshot, after: Snapshot, part: str) -> Snapshot:
    """Models are the machines of ``lab``, also those that went meanwhile."""
    if part.startswith("-"):
        return _retired(after, part[1:].strip())
    if match := _LIKE.fullmatch(part):
        return _bought(after, int(match[1]), _named(lab, match[2]))
    if match := _CARDS.fullmatch(part):
        return _bought(after, int(match[1]), _with_one_card(lab, match[2], match[3] or ""))
    raise BadInput(f"{part!r} says neither what comes nor what goes", where=WHERE, hint=GRAMMAR)


def _retired(cluster: Snapshot, hosts: str) -> Snapshot:
    try:
        names = host_names(hosts)
    except Wrong as wrong:
        raise BadInput(f"{hosts!r} {wrong}", where=WHERE, hint=GRAMMAR) from None
    nodes = cluster.nodes
    for name in names:
        nodes = nodes.delete(_named(replace(cluster, nodes=nodes), name).id)
    return replace(cluster, nodes=nodes, changes=())


def _bought(cluster: Snapshot, number: int, model: Node) -> Snapshot:
    """So many more machines like ``model``, with names of their own."""
    if not 1 <= number <= MOST:
        raise BadInput(f"{number} is not a number of machines between 1 and {MOST}", where=WHERE, hint=GRAMMAR)
    free = (name for name in (f"new-{count}" for count in range(1, 2 * MOST + 2)) if name not in cluster.nodes)
    more = {
        name: replace(model, id=name, endpoint=Endpoint(name), generation=cluster.generations + count)
        for count, name in zip(range(1, number + 1), free, strict=False)
    }
    return replace(cluster, nodes=cluster.nodes.update(more), generations=cluster.generations + number, changes=())


def _named(cluster: Snapshot, name: NodeId) -> Node:
    node = cluster.nodes.get(name)
    if node is None:
        there = ", ".join(sorted(cluster.nodes)[:8]) + (", …" if len(cluster.nodes) > 8 else "")
        raise BadInput(f"no machine is named {name}", where=WHERE, hint=f"there are {there}" if there else "")
    return node


def _with_one_card(cluster: Snapshot, kind: str, memory: str) -> Node:
    """The lab's smallest machine with such a card, with only one of them; of a new kind, one card in the largest."""
    nodes = sorted(cluster.nodes.values(), key=lambda node: (len(node.facts.gpus), -len(node.usable_cpus), node.id))
    try:
        wanted, size = gpu_kind(kind), memory_mib(memory) if memory else 0
    except Wrong as wrong:
        raise BadInput(f"{memory or kind!r} {wrong}", where=WHERE, hint=GRAMMAR) from None
    known = [(node, gpu) for node in nodes for gpu in node.facts.gpus if gpu.kind.lower() == wanted.lower()]
    if not known and not (size and nodes):
        kinds = ", ".join(sorted({gpu.kind for node in nodes for gpu in node.facts.gpus})) or "none"
        hint = f"its kinds: {kinds}; a new one needs its memory: '+2 {kind} 24GB'"
        raise BadInput(f"no machine of the lab has a {kind}", where=WHERE, hint=hint)
    model, card = known[0] if known else (nodes[0], Gpu(0, wanted, "", wanted, size))
    one = replace(card, index=0, uuid="", healthy=True, memory_mib=size or card.memory_mib)
    return replace(model, facts=replace(model.facts, gpus=(one,)))
