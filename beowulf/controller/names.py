"""No device twice: a machine that is in use under one name gets no jobs under another."""

from __future__ import annotations

from beowulf import probe
from beowulf.controller.draft import Draft
from beowulf.model import event as ev
from beowulf.model.node import same_machine

CLAIMS = (ev.NodeUp, ev.NodeRemoved)


def look_if_claimed(draft: Draft) -> None:
    """Before anything is placed on a node that has just said what it is."""
    if any(isinstance(event, CLAIMS) for event in draft.events):
        look(draft)


def look_if_freed(draft: Draft) -> None:
    """Nothing tells when the first name has become down and idle; only those that were refused care."""
    if any(node.same_as for node in draft.snapshot.nodes.values()):
        look(draft)


def look(draft: Draft) -> None:
    held = draft.snapshot.held
    busy = {node for node in held if held[node]}
    second = probe.second_names(draft.snapshot.nodes.values(), busy)
    for node in list(draft.snapshot.nodes.values()):
        first = second.get(node.id, "")
        if first and first != node.same_as:
            draft.record(ev.NodeRefused(draft.now, node.id, first, same_machine(node.id, first)))
        elif node.same_as and not first:
            draft.record(ev.NodeAccepted(draft.now, node.id))
