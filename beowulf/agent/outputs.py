"""The keeper's ears: what processes write goes to their logs, and the link hears that the logs grew."""

import os
from typing import Callable, Dict, Set

from beowulf.agent import spool
from beowulf.agent.folder import AttemptFolder
from beowulf.agent.loop import READ, Loop

_NUDGE_S = 0.02
_DRAIN_LIMIT_BYTES = 8 * 1024 * 1024


class Outputs:
    """``on_data(stream, data)`` for everything taken, ``on_error(stream, why)`` when a log cannot be written."""

    def __init__(
        self,
        loop: Loop,
        folder: AttemptFolder,
        cap_bytes: int,
        on_data: Callable[[str, bytes], None],
        on_error: Callable[[str, str], None],
        tell_grown: Callable[[Dict[str, int]], bool],
    ) -> None:
        self._loop = loop
        self._folder = folder
        self._cap_bytes = cap_bytes
        self._on_data = on_data
        self._on_error = on_error
        self._tell_grown = tell_grown
        self._logs: Dict[str, spool.Log] = {}
        self._streams: Dict[int, str] = {}
        self._grown: Set[str] = set()
        self._nudging = False

    def sizes(self) -> Dict[str, int]:
        return {stream: log.size for stream, log in self._logs.items()}

    def open(self, stream: str) -> int:
        """The writing end of a new pipe into this stream's log; the caller closes it. Raises OSError."""
        if stream not in self._logs:
            self._logs[stream] = spool.Log(self._folder.log(stream), self._cap_bytes)
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        self._streams[reader] = stream
        self._loop.watch(reader, READ, lambda events: self._hear(reader))
        return writer

    def _hear(self, reader: int) -> None:
        self._take(reader)

    def _take(self, reader: int) -> int:
        """Bytes taken; none when nothing is there just now, or ever again."""
        stream = self._streams[reader]
        try:
            data = spool.drain(reader)
        except EOFError:
            self._loop.unwatch(reader)
            os.close(reader)
            del self._streams[reader]
            return 0
        if data:
            self._keep(stream, data)
        return len(data)

    def _keep(self, stream: str, data: bytes) -> None:
        log = self._logs[stream]
        log.write(data)
        self._on_data(stream, data)
        self._grown.add(stream)
        if not self._nudging:
            self._nudge()
        if log.error:
            self._on_error(stream, log.error)

    def _nudge(self) -> None:
        """At most fifty times a second, and only while something grows."""
        self._nudging = bool(self._grown)
        if self._grown:
            if self._tell_grown({stream: self._logs[stream].size for stream in self._grown}):
                self._grown = set()
            self._loop.later(_NUDGE_S, self._nudge)

    def drain(self, stream: str = "") -> None:
        """Takes what the pipes of this stream (or of all) hold right now: what was written before an end was heard."""
        for reader, name in list(self._streams.items()):
            taken = 0
            while stream in ("", name) and reader in self._streams and taken < _DRAIN_LIMIT_BYTES:
                now = self._take(reader)
                if not now:
                    break
                taken += now
