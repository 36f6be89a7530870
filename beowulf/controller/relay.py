"""The one thing a node may ask of the head: that a peer of the same gang starts a daemon (mpirun's remote shell).

Ids carry the asking node, so that nothing about a relay has to be remembered over a restart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beowulf.controller.draft import Draft, Send
from beowulf.model.node import NodeId


def on_spawn(draft: Draft, node: NodeId, header: Mapping[str, Any]) -> None:
    tag, ask = str(header["attempt"]), str(header["id"])
    found = draft.current(tag)
    if found is None or found[1].ending is not None or node not in found[1].shares:
        _refuse(draft, node, tag, ask, f"attempt {tag} does not run here")
        return
    peer = _member(draft, found[1].allocation.nodes, str(header["host"]))
    if peer is None:
        _refuse(draft, node, tag, ask, f"{header['host']} is not a host of attempt {tag}")
    elif draft.gone(peer):
        _refuse(draft, node, tag, ask, f"{peer} is gone")
    elif peer in draft.volatile.links:  # else the node's keeper asks again, until it hears how the daemon ended
        fields = {"argv": header["argv"], "env": header.get("env") or {}}
        draft.send(peer, "spawn_here", tag, id=f"{node}/{ask}", **fields)
        draft.send(node, "spawned", tag, id=ask, ok=True, error="")


def _refuse(draft: Draft, node: NodeId, tag: str, ask: str, why: str) -> None:
    draft.send(node, "spawned", tag, id=ask, ok=False, error=why)


def _member(draft: Draft, nodes: tuple[NodeId, ...], host: str) -> NodeId | None:
    for node_id in nodes:
        node = draft.snapshot.nodes.get(node_id)
        if node is not None and host in (node_id, node.address, node.endpoint.host, node.facts.hostname):
            return node_id
    return None


def on_spawn_kill(draft: Draft, node: NodeId, header: Mapping[str, Any]) -> None:
    """The shim that wanted a daemon is gone: the daemon goes too, wherever in the gang it was started."""
    tag = str(header["attempt"])
    found = draft.current(tag)
    if found is not None and node in found[1].shares:
        for peer in found[1].shares:
            draft.send(peer, "spawn_kill", tag, id=f"{node}/{header['id']}")


def on_spawn_answer(draft: Draft, node: NodeId, header: Mapping[str, Any], payload: bytes) -> None:
    """``spawn_output`` and ``spawn_exit`` of a daemon, back to the node that asked for it; only within one gang."""
    origin, _, ask = str(header["id"]).partition("/")
    found = draft.current(str(header["attempt"]))
    if found is None or not {origin, node} <= set(found[1].shares):
        return
    if origin in draft.volatile.links:
        draft.do(Send(origin, {**header, "id": ask}, payload))
