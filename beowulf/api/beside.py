"""Connections through the head into a running job: to what it listens at, to programs beside its ranks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from beowulf.api.call import Call
from beowulf.api.head import End
from beowulf.api.jobs import one_job
from beowulf.api.render import may_see
from beowulf.model.errors import BadInput, BeowulfError, Forbidden, Refused
from beowulf.model.job import Job, JobState

BYTES = "application/octet-stream"
PIECE = 64 * 1024
LOOK_S = 2.0  # while the job takes nothing it is looked so often whether the caller is still there
BROKEN = (BeowulfError, OSError, ValueError)  # the last is that of a pipe that was closed meanwhile
MOST = 128  # connections at a time, those being made included: each holds a thread
# Waiting for a node takes a thread for as long as it lasts: those that answer requests are too few for it.
_THREADS = ThreadPoolExecutor(2 * MOST, thread_name_prefix="beside")
_open: set[object] = set()


async def connect(call: Call) -> Response:
    """The request's body goes to ``port`` of the rank's machine, the answer's body is what comes from there."""
    port = call.number("port")
    if not 0 < port < 65536:
        raise BadInput("is no port (1 to 65535)", where="port")
    return await _tunnel(call, {"port": port})


async def run(call: Call) -> Response:
    """Runs ``argv`` beside the rank until it ends or the request's body does; the answer's body is what it writes."""
    argv = call.request.query_params.getlist("argv")
    if not argv or any("\0" in word for word in argv):
        raise BadInput("names no program", where="argv")
    return await _tunnel(call, {"argv": argv})


async def _tunnel(call: Call, wish: Mapping[str, Any]) -> Response:
    job, rank = _own(call), call.number("rank")
    if len(_open) >= MOST:
        raise Refused(f"{MOST} connections to jobs are open already", hint="close some of them")
    place = object()
    _open.add(place)
    try:
        end = await asyncio.get_running_loop().run_in_executor(_THREADS, call.head.beside, job, rank, wish)
    except BaseException:
        _open.discard(place)
        raise
    return Tunnel(end, place)


def _own(call: Call) -> Job:
    job = one_job(call)
    if not may_see(call.caller, job.uid):
        raise Forbidden(f"job {job.id} is {job.owner}'s", hint="only its owner and admins get into it")
    if job.state is not JobState.RUNNING:
        raise Refused(f"job {job.id} is {job.word}, not RUNNING", hint=f"beowulf why {job.id}")
    return job


class Tunnel(Response):
    """Bytes both ways until the job's side ends, or the caller has gone; half a goodbye of the caller is passed on."""

    def __init__(self, end: End, place: object) -> None:
        """``place``: of ``_open``, left with the last byte."""
        super().__init__()
        self._end, self._place = end, place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        tasks: list[asyncio.Task[None]] = []
        try:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", BYTES.encode())]})
            tasks = [asyncio.create_task(self._inward(receive, scope["state"]["hung_up"]))]
            tasks.append(asyncio.create_task(self._outward(send)))
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            _open.discard(self._place)
            for task in tasks:
                task.cancel()
            _THREADS.submit(self._end.close)  # which wakes who still waits for the node

    async def _inward(self, receive: Receive, hung_up: Callable[[], bool]) -> None:
        """Ends when the caller is gone."""
        more = True
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            if message.get("body") and not await self._written(message["body"], hung_up):
                return
            if more and not message.get("more_body"):
                more = False
                await _there(self._end.close_write)

    async def _written(self, body: bytes, hung_up: Callable[[], bool]) -> bool:
        """False: the caller went before the job took it."""
        writing = asyncio.ensure_future(_there(self._end.write, body))
        while not (await asyncio.wait([writing], timeout=LOOK_S))[0]:
            if hung_up():
                return False
        return True

    async def _outward(self, send: Send) -> None:
        with suppress(*BROKEN):  # the connection to the node broke: over, like an end
            while piece := await asyncio.get_running_loop().run_in_executor(_THREADS, self._end.read, PIECE):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _there(work: Callable[..., object], *arguments: bytes) -> None:
    """What cannot be written any more is no error of the caller: the other direction tells of the end."""
    with suppress(*BROKEN):
        await asyncio.get_running_loop().run_in_executor(_THREADS, work, *arguments)
