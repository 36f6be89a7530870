"""Frames over a socket or a pair of pipes, never blocking. What cannot be written yet waits in memory."""

import os
from collections import deque
from typing import Callable, Deque, Optional

from beowulf.agent import wire
from beowulf.agent.loop import READ, WRITE, Loop

_READ_BYTES = 256 * 1024


class Channel:
    """``on_frame(header, payload)`` per frame; ``on_close(reason)`` once, unless we closed it ourselves.

    ``write`` is the same descriptor as ``read`` for a socket. ``on_drain`` is called when everything was written.
    """

    def __init__(
        self,
        loop: Loop,
        read: int,
        write: int,
        on_frame: Callable[[wire.Header, bytes], None],
        on_close: Callable[[str], None],
        on_drain: Optional[Callable[[], None]] = None,
    ) -> None:
        self._loop = loop
        self._read = read
        self._write = write
        self.on_frame = on_frame
        self.on_close = on_close
        self.on_drain = on_drain
        self._decoder = wire.Decoder()
        self._out: Deque[memoryview] = deque()
        self.waiting_bytes = 0
        self.open = True
        for descriptor in (read, write):
            os.set_blocking(descriptor, False)
        self._watch()

    def _watch(self) -> None:
        if self._read == self._write:
            self._loop.watch(self._read, READ | (WRITE if self._out else 0), self._ready)
        else:
            self._loop.watch(self._read, READ, self._ready)
            if self._out:
                self._loop.watch(self._write, WRITE, self._ready)
            else:
                self._loop.unwatch(self._write)

    def send(self, header: wire.Header, payload: bytes = b"") -> None:
        """Written at once as far as it goes; the rest when the peer takes it. Silent when the channel is closed."""
        if not self.open:
            return
        data = wire.encode(header, payload)
        was_idle = not self._out
        self._out.append(memoryview(data))
        self.waiting_bytes += len(data)
        if was_idle:
            self._flush()
            if self._out and self.open:
                self._watch()

    def _ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
            if self.open and not self._out:
                self._watch()
                if self.on_drain is not None:
                    self.on_drain()
        if events & READ and self.open:
            self._take()

    def _flush(self) -> None:
        try:
            while self._out:
                written = os.write(self._write, self._out[0])
                self.waiting_bytes -= written
                if written < len(self._out[0]):
                    self._out[0] = self._out[0][written:]
                else:
                    self._out.popleft()
        except BlockingIOError:
            pass
        except OSError as error:
            self._broken("writing: {}".format(error.strerror))

    def _take(self) -> None:
        try:
            data = os.read(self._read, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._broken("reading: {}".format(error.strerror))
            return
        if not data:
            self._broken("closed by the peer")
            return
        try:
            frames = self._decoder.feed(data)
        except wire.WireError as error:
            self._broken(str(error))
            return
        for header, payload in frames:
            if self.open:
                self.on_frame(header, payload)

    def _broken(self, reason: str) -> None:
        if self.open:
            self.close()
            self.on_close(reason)

    def close(self) -> None:
        """Forgets what was not written yet and closes the descriptors."""
        if not self.open:
            return
        self.open = False
        self._out.clear()
        self.waiting_bytes = 0
        for descriptor in {self._read, self._write}:
            self._loop.unwatch(descriptor)
            os.close(descriptor)
