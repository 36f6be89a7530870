"""Frames and byte streams of a bulk channel; both ends use this file.

The frames are the wire's. A *stream* is any number of ``data`` frames, each
compressed or not (``z``), and one ``end``.
"""

import time
import zlib
from collections import deque
from typing import Callable, Deque, Iterable, Iterator, Optional

from beowulf.agent import wire

CHUNK = wire.MAX_PAYLOAD_BYTES
READ = 1024 * 1024
# After a try that did not pay, this many chunks go as they are before the next try; twice as many each time.
PLAIN_RUN = 16
LONGEST_PLAIN_RUN = 1024
# Seconds per byte that a line is taken to need until it was seen: 100 Mbit/s.
LINE_AT_FIRST = 1 / 12.5e6


class LinkBroken(Exception):
    """The other end went away, or does not speak this protocol."""


class OtherFailed(LinkBroken):
    """The other end said why it gives up, in a sentence."""


class Frames:
    """Reads and writes frames over two plain functions. ``read(n)`` gives up to n bytes, ``b""`` at the end.

    What `send` and the streams are given must be whole: after `LinkBroken` nothing more can be said.
    """

    def __init__(self, read: Callable[[int], bytes], write: Callable[[bytes], object], descriptor: int = -1) -> None:
        self._read = read
        self._write = write
        self._decoder = wire.Decoder()
        self._ready: Deque[wire.Frame] = deque()
        self.descriptor = descriptor  # readable when something comes in; -1: not known

    def send(self, header: wire.Header, payload: bytes = b"") -> None:
        self._write(wire.encode(header, payload))

    def receive(self) -> Optional[wire.Frame]:
        """The next frame; None once the other end closed."""
        while not self._ready:
            data = self._read(READ)
            if not data:
                return None
            try:
                self._ready.extend(self._decoder.feed(data))
            except wire.WireError as error:
                raise LinkBroken(str(error))
        return self._ready.popleft()

    def send_stream(self, pieces: Iterable[bytes], sent: Optional[Callable[[int, int], object]] = None) -> int:
        """Sends all pieces; → payload bytes that travelled. ``sent(content bytes, payload bytes)`` hears of each."""
        travelled = 0
        squeeze = Squeeze()
        for piece in _chunks(pieces):
            packed = squeeze.pack(piece)
            started = time.perf_counter()
            self.send({"type": "data", "z": packed is not piece}, packed)
            squeeze.sent(len(packed), time.perf_counter() - started)
            travelled += len(packed)
            if sent is not None:
                sent(len(piece), len(packed))
        self.send({"type": "end"})
        return travelled

    def receive_stream(self) -> Iterator[bytes]:
        while True:
            frame = self.receive()
            if frame is None:
                raise LinkBroken("the stream ended too early")
            header, payload = frame
            if header["type"] == "end":
                return
            if header["type"] == "failed":
                raise OtherFailed(str(header["error"]))
            if header["type"] != "data":
                raise LinkBroken("a stream was expected, not {}".format(header["type"]))
            if header.get("z"):
                unpacker = zlib.decompressobj()
                payload = unpacker.decompress(payload, CHUNK)
                if not unpacker.eof:
                    raise LinkBroken("a compressed chunk is over the limit")
            yield payload


class Squeeze:
    """Compresses a chunk where the line gains more time than the compression costs."""

    def __init__(self) -> None:
        self._line = LINE_AT_FIRST  # seconds per byte
        self._plain_left = 0
        self._run = PLAIN_RUN

    def pack(self, piece: bytes) -> bytes:
        """The very same object when it is to travel as it is."""
        if self._plain_left:
            self._plain_left -= 1
            return piece
        started = time.perf_counter()
        packed = zlib.compress(piece, 1)
        cost = time.perf_counter() - started
        if cost < (len(piece) - len(packed)) * self._line:
            self._run = PLAIN_RUN
            return packed
        self._plain_left = self._run
        self._run = min(self._run * 2, LONGEST_PLAIN_RUN)
        return piece

    def sent(self, size: int, seconds: float) -> None:
        if size >= CHUNK // 8:  # smaller ones only say how fast a buffer is
            self._line = 0.8 * self._line + 0.2 * seconds / size


def _chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in chunks of the frame's limit: many small files share one chunk."""
    held = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size < CHUNK:
            continue
        joined = b"".join(held)
        whole = len(joined) // CHUNK * CHUNK
        for start in range(0, whole, CHUNK):
            yield joined[start : start + CHUNK]
        held = [joined[whole:]]
        size = len(joined) - whole
    if size:
        yield b"".join(held)


class StreamReader:
    """``read(n)`` over a stream of pieces: exactly n bytes, fewer only at its end."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def some(self, limit: int) -> bytes:
        """1 to ``limit`` bytes; ``b""`` at the end."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._rest = piece
        taken = self._rest[:limit]
        self._rest = self._rest[limit:]
        return taken

    def pieces(self, size: int) -> Iterator[bytes]:
        """``size`` bytes in pieces. Raises `LinkBroken` when the stream holds fewer."""
        left = size
        while left:
            piece = self.some(left)
            if not piece:
                raise LinkBroken("the stream is {} bytes short".format(left))
            left -= len(piece)
            yield piece

    def rest(self) -> bytes:
        return self._rest + b"".join(self._pieces)
