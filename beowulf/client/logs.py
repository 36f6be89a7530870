"""Logs as they come, across restarts of the head."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from beowulf.client.exchange import Exchange, json_lines
from beowulf.model.errors import Unreachable

RETRY_S = 0.5


class LogChunk(NamedTuple):
    """Bytes ``offset`` and on of what ``process`` wrote; a chunk may end in the middle of a line."""

    attempt: int
    process: str
    offset: int
    data: bytes


def read(exchange: Exchange, path: str, query: dict[str, Any]) -> Iterator[LogChunk]:
    """Asks at once: what is refused is raised here and not at the first chunk."""
    return _chunks(exchange.pieces("GET", path, query))


def _chunks(pieces: Iterator[bytes]) -> Iterator[LogChunk]:
    for line in json_lines(pieces):
        yield LogChunk(line["attempt"], line["process"], line["offset"], base64.b64decode(line["data"]))


def follow(exchange: Exchange, path: str, query: dict[str, Any], patience_s: float) -> Iterator[LogChunk]:
    """Until the job has ended; goes on where it was when the head comes back within ``patience_s``."""
    query = {**query, "follow": 1}
    offsets: dict[str, int] = {}
    deadline = 0.0
    while True:
        try:
            for chunk in read(exchange, path, query):
                if chunk.attempt != query.get("attempt"):
                    if query.get("attempt"):
                        query["tail"] = None  # it was asked for the attempt there was
                    offsets = {}
                    query["attempt"] = chunk.attempt
                offsets[chunk.process] = chunk.offset + len(chunk.data)
                query["offsets"] = ",".join(f"{process}:{offset}" for process, offset in offsets.items())
                deadline = 0.0
                yield chunk
            return
        except Unreachable:
            deadline = deadline or time.monotonic() + patience_s
            if time.monotonic() >= deadline:
                raise
            time.sleep(RETRY_S)


def last_lines(chunks: Iterator[LogChunk]) -> list[tuple[str, str]]:
    """``(process, line)``, process by process; bytes that are no UTF-8 are shown as replacement characters."""
    texts: dict[str, bytearray] = {}
    for chunk in chunks:
        texts.setdefault(chunk.process, bytearray()).extend(chunk.data)
    return [
        (process, line)
        for process, text in texts.items()
        for line in text.decode("utf-8", "replace").removesuffix("\n").split("\n")
    ]
