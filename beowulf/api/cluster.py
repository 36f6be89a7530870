"""Requests about the head itself: is it there, what happened, folders handed in, the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from functools import partial

import anyio.from_thread
from starlette.responses import Response, StreamingResponse

from beowulf.api import render
from beowulf.api.call import Call, answer, json_bytes
from beowulf.api.jobs import JSON_LINES
from beowulf.api.waker import waking
from beowulf.model.codec import plain
from beowulf.model.errors import NotFound
from beowulf.model.market import MarketRules

_BATCH = 500


async def ping(call: Call) -> Response:
    head = call.head
    return answer(
        {
            "cluster": head.cluster,
            "epoch": head.epoch,
            "version": head.version,
            "user": call.caller.user,
            "admin": call.caller.admin,
        }
    )


async def rules(call: Call) -> Response:
    """`Rules` but for what is on offer and what money is left."""
    known = plain(replace(call.head.rules(), market=MarketRules()))
    return answer({"rules": {name: value for name, value in known.items() if name != "market"}})


async def metrics(call: Call) -> Response:
    text, media_type = await call.blocking(call.head.metrics)
    return Response(text, media_type=media_type)


async def events(call: Call) -> Response:
    """JSON lines; with ``follow`` they never end."""
    limit = call.number("limit")
    lines = _events(call, call.number("after"), limit, call.text("job"), call.flag("follow"))
    return StreamingResponse(lines, media_type=JSON_LINES)


async def _events(call: Call, after: int, limit: int, job_id: str, follow: bool) -> AsyncIterator[bytes]:
    left = limit or None
    with waking(call.head) as waker:
        while left is None or left > 0:
            batch = _BATCH if left is None else min(left, _BATCH)
            found = await call.blocking(call.head.events, after, batch, job_id)
            for stored in found:
                after = stored.seq
                yield json_bytes(render.event(stored, call.caller)) + b"\n"
            left = None if left is None else left - len(found)
            if len(found) == batch:
                continue
            if not follow:
                return
            await waker.wait()


async def has_tree(call: Call) -> Response:
    digest = call.path("digest")
    if not await call.blocking(call.head.has_tree, digest):
        raise NotFound(f"tree {digest[:12]} is not on the head")
    return answer({})


async def put_tree(call: Call) -> Response:
    stream = call.request.stream()

    def chunks() -> Iterator[bytes]:
        # Pulled from the worker's thread: never more in memory than one piece.
        while True:
            try:
                chunk = anyio.from_thread.run(partial(anext, stream))
            except StopAsyncIteration:
                return
            yield chunk

    await call.blocking(call.head.put_tree, call.path("digest"), chunks())
    return answer({}, 201)


async def shutdown(call: Call) -> Response:
    call.admin_only()
    await call.blocking(call.head.shutdown)
    return answer({})
