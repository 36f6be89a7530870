"""Requests about nodes. Whoever may change them is an admin; everybody may look."""

from __future__ import annotations

import itertools

from starlette.responses import Response, StreamingResponse

from beowulf.api import render
from beowulf.api.bodies import BenchBody, DiscoverBody, DrainBody, NodeBody, RekeyBody, ScanBody
from beowulf.api.call import Call, answer, json_bytes
from beowulf.api.jobs import JSON_LINES
from beowulf.controller.commands import AddNode, DrainNode, RekeyNode, RemoveNode, ResumeNode
from beowulf.model.errors import BadInput, NotFound


async def list_nodes(call: Call) -> Response:
    snapshot = call.head.snapshot()
    found = sorted(snapshot.nodes.values(), key=lambda node: node.id)
    return answer({"nodes": [render.node(node, snapshot) for node in found]})


async def show(call: Call) -> Response:
    snapshot, name = call.head.snapshot(), _known(call)
    return answer(render.node(snapshot.nodes[name], snapshot))


async def add(call: Call) -> Response:
    call.admin_only()
    body = await call.body(NodeBody)
    command = AddNode(
        call.caller,
        body.node,
        body.endpoint,
        body.host_key,
        groups=body.groups,
        tags=body.tags,
        site=body.site,
        max_cpus=body.max_cpus,
        max_memory_mib=body.max_memory_mib,
        share_gpus=body.share_gpus,
        share_between_users=body.share_between_users,
    )
    return answer({"node": await call.ask(command)}, 201)


async def remove(call: Call) -> Response:
    call.admin_only()
    await call.ask(RemoveNode(call.caller, _known(call)))
    return answer({})


async def drain(call: Call) -> Response:
    call.admin_only()
    body = await call.body(DrainBody)
    await call.ask(DrainNode(call.caller, _known(call), body.reason))
    return answer({})


async def resume(call: Call) -> Response:
    call.admin_only()
    await call.ask(ResumeNode(call.caller, _known(call)))
    return answer({})


async def rekey(call: Call) -> Response:
    call.admin_only()
    body = await call.body(RekeyBody)
    await call.ask(RekeyNode(call.caller, _known(call), body.host_key))
    return answer({})


async def ssh(call: Call) -> Response:
    call.admin_only()
    return answer({"argv": await call.blocking(call.head.ssh_command, _known(call))})


async def discover(call: Call) -> Response:
    call.admin_only()
    body = await call.body(DiscoverBody)
    return answer({"found": await call.blocking(call.head.discover, body.networks, body.ports, body.user)})


async def scan(call: Call) -> Response:
    call.admin_only()
    body = await call.body(ScanBody)
    return answer(await call.blocking(call.head.scan, body.endpoint))


async def bench(call: Call) -> Response:
    """JSON lines, one per step; each node's profile is kept as soon as it is known."""
    call.admin_only()
    body = await call.body(BenchBody)
    known = call.head.snapshot().nodes
    unknown = next((name for name in body.nodes if name not in known), None)
    if unknown is not None:
        raise _unknown(unknown)
    if body.peers < 0:
        raise BadInput("is negative", where="peers")
    steps = call.head.bench(body.nodes or sorted(known), body.force, body.peers)
    first = await call.blocking(next, steps, None)  # what it raises is an answer, not a broken stream
    rest = itertools.chain(() if first is None else (first,), steps)
    return StreamingResponse((json_bytes(step) + b"\n" for step in rest), media_type=JSON_LINES)


async def doctor(call: Call) -> Response:
    name = call.text("node")
    if name and name not in call.head.snapshot().nodes:
        raise _unknown(name)
    return answer({"findings": await call.blocking(call.head.doctor, name or None)})


def _known(call: Call) -> str:
    name = call.path("id")
    if name not in call.head.snapshot().nodes:
        raise _unknown(name)
    return name


def _unknown(name: str) -> NotFound:
    return NotFound(f"node {name[:80]!r} is not known", hint="beowulf nodes list shows those there are")
