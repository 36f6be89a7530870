"""Nodes come, go, fail and are kept apart: links, facts, quarantine."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from beowulf import probe
from beowulf.controller import others
from beowulf.controller.draft import Draft
from beowulf.controller.reattach import reattach
from beowulf.model import event as ev
from beowulf.model.node import NodeId, NodeState

LONGEST = 200  # characters of a name of its own that a node may send


def on_link_up(draft: Draft, node_id: NodeId, welcome: Mapping[str, Any]) -> None:
    node = draft.snapshot.nodes.get(node_id)
    if node is None:
        return
    draft.volatile.links.add(node_id)
    draft.volatile.down_since.pop(node_id, None)
    draft.volatile.renewed.pop(node_id, None)
    draft.volatile.pythons[node_id] = str(welcome.get("python") or "")
    root = str(welcome["root"])
    told = replace(
        node.facts,
        boot_id=str(welcome.get("boot_id") or node.facts.boot_id),
        processes=str(welcome.get("processes") or "")[:LONGEST],
    )
    # One that was seen before is usable at once; the fresh facts follow.
    draft.record(ev.NodeUp(draft.now, node_id, root, told if node.facts.boot_id else replace(told, cpus=())))
    ask_facts(draft, node_id)
    renew_leases(draft, node_id)
    reattach(draft, node_id, list(welcome.get("attempts") or ()))


def renew_leases(draft: Draft, node_id: NodeId) -> None:
    """The head is there: what runs on the node may go on for another lease."""
    draft.volatile.renewed[node_id] = draft.now
    leases = {tag: draft.policy.lease_s for tag in draft.snapshot.held.get(node_id, {}) if draft.current(tag)}
    if leases:
        draft.send(node_id, "renew", leases=leases)


def on_link_down(draft: Draft, node_id: NodeId, reason: str, kind: str) -> None:
    node = draft.snapshot.nodes.get(node_id)
    was_up = node_id in draft.volatile.links
    draft.volatile.links.discard(node_id)
    if node is None:
        return
    draft.volatile.down_since.setdefault(node_id, draft.now)
    if node.state is not NodeState.DOWN or node.reason != reason:
        draft.record(ev.NodeDown(draft.now, node_id, reason))
    if was_up:
        note_failure(draft, node_id, f"link {kind}: {reason}")


def note_failure(draft: Draft, node_id: NodeId, what: str) -> None:
    """A node that fails again and again is drained, so that it cannot eat the queue's retries."""
    times = draft.volatile.failures.setdefault(node_id, deque(maxlen=draft.policy.quarantine_failures))
    times.append(draft.now)
    node = draft.snapshot.nodes.get(node_id)
    enough = len(times) == draft.policy.quarantine_failures
    if node and not node.drained and enough and draft.now - times[0] <= draft.policy.quarantine_window_s:
        reason = f"{len(times)} failures in {draft.now - times[0]:.0f} s, the last: {what}"
        draft.record(ev.NodeDrained(draft.now, node_id, reason, "quarantine"))
        times.clear()


def ask_facts(draft: Draft, node_id: NodeId) -> None:
    draft.volatile.asked[node_id] = draft.volatile.looked[node_id] = draft.now
    peers = [node.address for node in draft.snapshot.nodes.values() if node.id != node_id]
    draft.send(node_id, "ask", id="facts", questions=probe.questions(peers))


def on_answers(draft: Draft, node_id: NodeId, header: Mapping[str, Any]) -> None:
    node = draft.snapshot.nodes.get(node_id)
    if node is None or header.get("id") not in ("facts", "use"):
        return
    if header["id"] == "use":
        facts = others.with_others(draft, node, node.facts, header["answers"])
        if node.state is NodeState.UP and facts != node.facts:
            draft.record(ev.NodeUp(draft.now, node_id, node.root, facts))
        return
    facts = probe.read(
        header["answers"],
        node_time=float(header["time"]),
        head_time=draft.now,
        agent_python=draft.volatile.pythons.get(node_id, ""),
    )
    # Who it is was told by its welcome; a probe may have given up.
    facts = replace(facts, boot_id=facts.boot_id or node.facts.boot_id, processes=node.facts.processes)
    facts = others.with_others(draft, node, facts, header["answers"])
    if node.state is not NodeState.UP or not probe.as_before(node.facts, facts):
        draft.record(ev.NodeUp(draft.now, node_id, node.root, facts))
    hung = next((system for system in facts.file_systems if not system.healthy), None)
    if hung and not node.drained:
        reason = f"file system {hung.path} does not answer: {hung.complaint}"
        draft.record(ev.NodeDrained(draft.now, node_id, reason, "probe"))
