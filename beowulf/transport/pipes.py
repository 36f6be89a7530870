"""Where paramiko's channels put what they receive."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from paramiko.buffered_pipe import BufferedPipe, PipeTimeout

if TYPE_CHECKING:
    Pipe = BufferedPipe[bytes]  # generic in its stubs only
else:
    Pipe = BufferedPipe


class FeedPipe(Pipe):
    """Hands every piece on in the connection's own thread, so that no reader thread per channel is needed.

    ``Channel.recv`` still does the window's accounting: it must be called for the ``unread`` bytes from a thread that
    may send, which the connection's thread may not (it would wait for a key exchange that it carries out itself).
    """

    def __init__(self, on_bytes: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        super().__init__()
        self._on_bytes = on_bytes
        self._on_end = on_end
        self._count_lock = threading.Lock()
        self.unread = 0

    def feed(self, data: bytes | str) -> None:
        piece = data if isinstance(data, bytes) else data.encode()
        with self._count_lock:
            self.unread += len(piece)
        self._on_bytes(piece)

    def read(self, nbytes: int, timeout: float | None = None) -> bytes:
        """As many zero bytes as were fed since the last call: only their number counts."""
        with self._count_lock:
            count = min(nbytes, self.unread)
            self.unread -= count
        return bytes(count)

    def close(self) -> None:
        super().close()
        self._on_end()


class ChunkPipe(Pipe):
    """Like its parent, but a read does not copy all that stays behind."""

    def __init__(self) -> None:
        super().__init__()
        self._ready = threading.Condition()
        self._chunks: deque[bytes] = deque()
        self._ended = False

    def feed(self, data: bytes | str) -> None:
        with self._ready:
            self._chunks.append(data if isinstance(data, bytes) else data.encode())
            self._ready.notify_all()

    def read_ready(self) -> bool:
        return bool(self._chunks)

    def read(self, nbytes: int, timeout: float | None = None) -> bytes:
        with self._ready:
            while not self._chunks:
                if self._ended:
                    return b""
                if not self._ready.wait(timeout):
                    raise PipeTimeout
            first = self._chunks.popleft()
            if len(first) > nbytes:
                self._chunks.appendleft(first[nbytes:])
                return first[:nbytes]
            taken = [first]
            size = len(first)
            while self._chunks and size + len(self._chunks[0]) <= nbytes:
                taken.append(self._chunks.popleft())
                size += len(taken[-1])
            return b"".join(taken)

    def close(self) -> None:
        super().close()
        with self._ready:
            self._ended = True
            self._ready.notify_all()

    def __len__(self) -> int:
        with self._ready:
            return sum(map(len, self._chunks))
