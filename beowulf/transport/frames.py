"""The agent's frames out of a stream that may begin with what a login script printed."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from beowulf.agent import wire

LENGTHS = struct.Struct(">II")
MOST_NOISE = 1 << 16


class FrameReader:
    """Feed it pieces, get frames. Raises WireError on what is neither a frame nor noise before the first one."""

    def __init__(self) -> None:
        self._decoder = wire.Decoder()
        self._before = b""
        self._noise = b""
        self._begun = False

    def feed(self, piece: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
        if not self._begun:
            self._before += piece
            start = first_frame(self._before)
            if start < 0:
                if len(self._before) > MOST_NOISE:
                    raise wire.WireError("64 KiB of text and no frame")
                return
            self._begun = True
            self._noise, piece, self._before = self._before[:start], self._before[start:], b""
        yield from self._decoder.feed(piece)

    def noise(self) -> str:
        return (self._noise + self._before).decode(errors="replace").strip()


def first_frame(stream: bytes) -> int:
    """Where the first frame starts, -1 where none does yet. Text cannot look like one: its lengths would be too big."""
    brace = stream.find(b"{")
    while brace >= 0:
        if brace >= LENGTHS.size:
            header, payload = LENGTHS.unpack_from(stream, brace - LENGTHS.size)
            if 0 < header <= wire.MAX_HEADER_BYTES and payload <= wire.MAX_PAYLOAD_BYTES:
                return brace - LENGTHS.size
        brace = stream.find(b"{", brace + 1)
    return -1
