"""A job's logs as JSON lines ``{"attempt", "process", "offset", "data"}``, ``data`` being the bytes in base64."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from beowulf.api.call import Call, json_bytes
from beowulf.api.head import Head
from beowulf.api.waker import waking
from beowulf.model.errors import BadInput, NotFound
from beowulf.model.job import Job

CHUNK_BYTES = 64 * 1024
TAIL_BYTES = 4 * 1024 * 1024  # what is looked through for the last lines
REST_WAIT_S = 20.0  # for the last bytes of a job that has ended
PAUSE_S = 0.02  # a flood of lines comes in few, large pieces
FLOOD_BYTES = 16 * 1024
TURN_BYTES = 512 * 1024  # read in one go, without asking a thread again


@dataclass(slots=True)
class Reading:
    """What was asked for, and how far each process's log was sent."""

    job_id: str
    attempt: int
    process: str  # "": all
    tail: int | None
    start: int
    offsets: dict[str, int] = field(default_factory=dict)

    def next_attempt(self) -> None:
        self.attempt += 1
        self.tail, self.start, self.offsets = None, 0, {}

    def begin(self, process: str, path: Path) -> int:
        if process not in self.offsets:
            self.offsets[process] = tail_offset(path, self.tail) if self.tail is not None else self.start
        return self.offsets[process]


def reading_of(call: Call, job: Job) -> Reading:
    """``offsets=0:123,mpirun:4`` goes on where a broken stream ended."""
    offsets: dict[str, int] = {}
    for pair in filter(None, call.text("offsets").split(",")):
        process, _, offset = pair.rpartition(":")
        if not offset.isdigit():
            raise BadInput(f"{pair[:40]!r} is not process:offset", where="offsets")
        offsets[process] = int(offset)
    attempt = call.number("attempt") or max(1, len(job.attempts))
    if job.attempts and attempt > len(job.attempts):
        raise NotFound(f"job {job.id} has no attempt {attempt}, only {len(job.attempts)}")
    tail = call.number("tail") if call.text("tail") else None
    return Reading(job.id, attempt, call.text("process"), tail, call.number("offset"), offsets)


def tail_offset(path: Path, lines: int) -> int:
    """Where the last ``lines`` lines begin, looking back a few MiB at most."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        begin = max(0, size - TAIL_BYTES)
        file.seek(begin)
        content = file.read(size - begin)
    at = len(content) - 1 if content.endswith(b"\n") else len(content)
    for _ in range(lines):
        at = content.rfind(b"\n", 0, at)
        if at < 0:
            return begin
    return begin + at + 1 if lines else size


async def lines(call: Call, reading: Reading, follow: bool) -> AsyncIterator[bytes]:
    """Until everything there is was sent; with ``follow`` until the job has ended and all it wrote was sent."""
    if not follow:
        async for line in _whats_there(call, reading):
            yield line
        return
    ended_since = 0.0
    with waking(call.head) as waker:
        while True:
            job = call.head.snapshot().job(reading.job_id)
            over = job is None or not job.live or len(job.attempts) > reading.attempt
            ended_since = (ended_since or time.monotonic()) if over else 0.0
            # Asked before reading: what is complete now is read to its end now.
            complete = over and await _complete(call, reading, job)
            sent = 0
            async for line in _whats_there(call, reading):
                sent += len(line)
                yield line
            if over and (complete or time.monotonic() - ended_since > REST_WAIT_S):
                if job is None or len(job.attempts) <= reading.attempt:
                    return
                reading.next_attempt()
                ended_since = 0.0
                continue
            if sent > FLOOD_BYTES:
                await asyncio.sleep(PAUSE_S)
            await waker.wait(1.0 if over else None)


async def _complete(call: Call, reading: Reading, job: Job | None) -> bool:
    if job is None or len(job.attempts) < reading.attempt:  # it never began
        return True
    return await call.blocking(call.head.logs_complete, reading.job_id, reading.attempt)


async def _whats_there(call: Call, reading: Reading) -> AsyncIterator[bytes]:
    while True:
        lines = await call.blocking(_some_lines, call.head, reading)
        for line in lines:
            yield line
        if sum(map(len, lines)) < TURN_BYTES:
            return


def _some_lines(head: Head, reading: Reading) -> list[bytes]:
    """What was written since the last look, process by process; less than `TURN_BYTES` only when that is all."""
    found: list[bytes] = []
    size = 0
    for process, path in _chosen(head.log_files(reading.job_id, reading.attempt), reading.process):
        while size < TURN_BYTES and (line := _next_line(reading, process, path)):
            found.append(line)
            size += len(line)
    return found


def _chosen(files: Mapping[str, Path], process: str) -> list[tuple[str, Path]]:
    """Ranks in their order, then the others."""
    ordered = sorted(files.items(), key=lambda item: (not item[0].isdigit(), item[0].zfill(9)))
    return [(name, path) for name, path in ordered if process in ("", name)]


def _next_line(reading: Reading, process: str, path: Path) -> bytes:
    try:
        offset = reading.begin(process, path)
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(CHUNK_BYTES)
    except FileNotFoundError:
        return b""
    if not data:
        return b""
    reading.offsets[process] = offset + len(data)
    text = base64.b64encode(data).decode("ascii")
    value = {"attempt": reading.attempt, "process": process, "offset": offset, "data": text}
    return json_bytes(value) + b"\n"
