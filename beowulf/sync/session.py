"""One conversation with the bulk program on a node: requests one after the other, streams in both directions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from beowulf.agent.bulk_frames import Frames, LinkBroken, OtherFailed
from beowulf.model.errors import NotFound, Unreachable
from beowulf.model.node import Node, NodeId
from beowulf.sync.cancel import Cancellation
from beowulf.sync.errors import Cancelled, Interrupted, StagingError

VERSION = 1
LIST_BYTES = 128 << 20
T = TypeVar("T")
# What a channel, or what comes over it, can fail with.
BROKEN = (OSError, EOFError, ValueError, LinkBroken, Unreachable)


class BulkChannel(Protocol):
    """Binary standard input and output of a program on a node. All calls block; `close` may come from any thread."""

    def write(self, data: bytes) -> object: ...

    def close_write(self) -> object: ...

    def read(self, size: int) -> bytes:
        """1 to ``size`` bytes; ``b""`` at the end."""

    def close(self) -> object: ...


class OpenBulk(Protocol):
    def __call__(self, node: NodeId) -> BulkChannel:
        """A channel whose other end is the freshly started bulk program. Raises a `BeowulfError` or ``OSError``."""


class Session:
    """Raises `StagingError` when the node says no or goes away; nothing more can be asked then."""

    def __init__(self, node: NodeId, channel: BulkChannel, cancellation: Cancellation) -> None:
        self.node = node
        self._channel = channel
        self._cancellation = cancellation
        self._frames = Frames(channel.read, channel.write)

    def hello(self, root: str) -> dict[str, Any]:
        return self.ask({"type": "hello", "version": VERSION, "root": root}, "ready")

    def ask(self, request: dict[str, Any], expected: str = "done") -> dict[str, Any]:
        self.send(request)
        return self.answer(expected)

    def send(self, request: dict[str, Any]) -> None:
        self._writing(lambda: self._frames.send(request))

    def answer(self, expected: str = "done") -> dict[str, Any]:
        with self._told():
            frame = self._frames.receive()
        if frame is None:
            raise self._gone("the channel closed")
        header = frame[0]
        if header.get("type") == "failed":
            raise StagingError(f"{self.node}: {header.get('error')}")
        if header.get("type") != expected:
            raise self._gone(f"it answered {header.get('type')!r}, not {expected!r}")
        return header

    def send_stream(self, pieces: Iterable[bytes], sent: Callable[[int, int], None] | None = None) -> int:
        """→ bytes that travelled."""

        def checked() -> Iterator[bytes]:
            for piece in pieces:
                self._cancellation.check()
                yield piece

        return self._writing(lambda: self._frames.send_stream(checked(), sent))

    def receive_stream(self) -> Iterator[bytes]:
        with self._told():
            yield from self._frames.receive_stream()

    def receive_whole(self) -> bytes:
        """Of a list, which is no place for gigabytes: a folder of a million files is 100 MB."""
        pieces, size = [], 0
        for piece in self.receive_stream():
            size += len(piece)
            if size > LIST_BYTES:
                raise StagingError(f"{self.node}: the list of what lies there is over {LIST_BYTES >> 20} MiB")
            pieces.append(piece)
        return b"".join(pieces)

    def goodbye(self) -> None:
        """Lets the node tidy up before its channel closes."""
        with self._told():
            self._channel.close_write()
            while self._channel.read(1 << 16):
                pass

    def _writing(self, write: Callable[[], T]) -> T:
        """A node that fails says why before it goes: look for that when the write breaks."""
        try:
            with self._told():
                return write()
        except Cancelled:
            raise
        except StagingError as broken:
            raise self._last_words() or broken from None

    def _last_words(self) -> StagingError | None:
        try:
            while True:
                frame = self._frames.receive()
                if frame is None:
                    return None
                if frame[0].get("type") == "failed":
                    return StagingError(f"{self.node}: {frame[0].get('error')}")
        except BROKEN:
            return None

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What a broken channel raises becomes a sentence."""
        try:
            yield
        except OtherFailed as said:
            raise StagingError(f"{self.node}: {said}") from said
        except BROKEN as error:
            self._cancellation.check()
            raise self._gone(str(error) or type(error).__name__) from error

    def _gone(self, detail: str) -> StagingError:
        self._cancellation.check()
        return Interrupted(f"{self.node}: the transfer broke off: {detail}")


@contextmanager
def session(open_bulk: OpenBulk, node: Node, cancellation: Cancellation) -> Iterator[Session]:
    """A session that has said hello; the channel is closed at the end, and at once when cancelled."""
    try:
        channel = open_bulk(node.id)
    except (OSError, Unreachable, NotFound) as error:
        raise Interrupted(f"{node.id}: no channel for files: {error}") from error
    try:
        with cancellation.interrupting(channel.close):
            talk = Session(node.id, channel, cancellation)
            talk.hello(node.root)
            yield talk
            talk.goodbye()
    finally:
        channel.close()
