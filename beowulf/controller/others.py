"""Processes on our nodes that are no jobs of ours: their GPUs and threads are not given away while they last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from immutables import Map

from beowulf import probe
from beowulf.controller.draft import Draft
from beowulf.model.node import Facts, Node, NodeId


def ask(draft: Draft, node_id: NodeId) -> None:
    draft.volatile.looked[node_id] = draft.now
    draft.send(node_id, "ask", id="use", questions=probe.use())


def with_others(draft: Draft, node: Node, facts: Facts, answers: Mapping[str, Mapping[str, Any]]) -> Facts:
    """``facts`` with what others use, as far as these answers say; threads are known from the second look on."""
    now = probe.look(answers, draft.policy.cluster)
    before = draft.volatile.seen.get(node.id)
    draft.volatile.seen[node.id] = now
    shares = draft.snapshot.held.get(node.id, Map()).values()
    busy = probe.on_gpus(now, facts.gpus, {gpu for share in shares for gpu in share.gpus}, facts.user)
    gpus = tuple(replace(gpu, foreign=busy.get(gpu.index, "")) for gpu in facts.gpus)
    threads, sentence = probe.on_threads(before, now) if before else (len(node.facts.foreign_cpus), node.facts.foreign)
    taken = _threads(node, facts, threads, frozenset(cpu for share in shares for cpu in share.cpus))
    return replace(facts, gpus=gpus, foreign_cpus=taken, foreign=sentence if taken else "")


def _threads(node: Node, facts: Facts, number: int, held: frozenset[int]) -> tuple[int, ...]:
    """So many of those that no job of ours is pinned to; rather the same ones as before."""
    free = [cpu for cpu in facts.cpus if cpu not in held]
    free.sort(key=lambda cpu: (cpu not in node.facts.foreign_cpus, -cpu))
    return tuple(sorted(free[:number]))
