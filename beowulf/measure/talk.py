"""One conversation with the bench program on a node, each answer within a time."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from beowulf.agent.bulk_frames import Frames, LinkBroken
from beowulf.agent.pack import bootstrap_command, packed
from beowulf.model.errors import BeowulfError, Unreachable
from beowulf.model.node import NodeId

Progress = Callable[[str], None]


class Channel(Protocol):
    """Binary standard input and output of a program on a node. All calls block; `close` may come from any thread."""

    def write(self, data: bytes) -> object: ...
    def read(self, size: int) -> bytes: ...
    def close(self) -> object: ...


class RunsCommands(Protocol):
    def bulk(self, node: NodeId, command: Sequence[str]) -> Channel: ...


class NotMeasured(BeowulfError):
    """The node could not measure, or has no time for it: a sentence without its name."""


class Talk:
    def __init__(self, node: NodeId, channel: Channel) -> None:
        self.node = node
        self._channel = channel
        self._frames = Frames(channel.read, channel.write)

    @classmethod
    def begin(cls, fleet: RunsCommands, node: NodeId) -> Talk:
        """Raises `NotMeasured`."""
        try:
            channel = fleet.bulk(node, ("/bin/sh", "-c", bootstrap_command(program="bench")))
        except (OSError, BeowulfError) as error:
            raise NotMeasured(str(error)) from error
        try:
            with _told():
                channel.write(packed("bench"))
        except BaseException:
            channel.close()
            raise
        return cls(node, channel)

    def ask(self, kind: str, limit_s: float, **fields: Any) -> dict[str, Any]:
        self.send(kind, **fields)
        return self.answer(limit_s)

    def send(self, kind: str, **fields: Any) -> None:
        with _told():
            self._frames.send({"type": kind, **fields})

    def answer(self, limit_s: float, progress: Progress = lambda text: None) -> dict[str, Any]:
        """Raises `NotMeasured` when the node says why not, goes away or is silent for ``limit_s`` seconds; what
        ``progress`` raises goes through."""
        late = threading.Timer(limit_s, self._channel.close)
        late.daemon = True
        late.start()
        try:
            while True:
                with _told():
                    frame = self._frames.receive()
                if frame is None:
                    raise NotMeasured("the benchmark did not end in time" if late.finished.is_set() else "it went away")
                header = frame[0]
                if header["type"] == "failed":
                    raise NotMeasured(str(header.get("error")))
                if header["type"] == "done":
                    return header
                progress(str(header.get("text", "")))
        finally:
            late.cancel()

    def close(self) -> None:
        self._channel.close()


def number(value: Any) -> float:
    """Raises `ValueError` or `TypeError` for what is no finite number: nothing could be kept of it."""
    found = float(value)
    if not math.isfinite(found):
        raise ValueError(f"{found} is no measurement")
    return found


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, ValueError, LinkBroken, Unreachable) as error:
        raise NotMeasured(f"the channel broke: {error or type(error).__name__}") from error
