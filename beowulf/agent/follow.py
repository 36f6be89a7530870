"""What the link sends of an attempt's spool: logs within their credit, reports line by line."""

import json
import math
import time
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

from beowulf.agent import spool, wire
from beowulf.agent.folder import AttemptFolder

_CHUNK_BYTES = 128 * 1024
_LINE_BYTES = 64 * 1024
# Written again, a short line may take seven times its room with the place where it ends: a header holds 1 MiB.
_FRAME_LINES_BYTES = 128 * 1024
_INTEGER_DIGITS = 18
_REPORT_PAUSE_S = 0.2
ALL = "*"

Send = Callable[[wire.Header, bytes], None]


class Stream:
    def __init__(self, offset: int) -> None:
        self.sent = offset
        self.acked = offset


class Logs:
    """The streams the head follows. Offsets are bytes in the spool's files."""

    def __init__(self, folder: AttemptFolder, send: Send) -> None:
        self._folder = folder
        self._send = send
        self._credit = 0
        self._others_from: Optional[int] = None
        self._streams: Dict[str, Stream] = {}
        self._sizes: Dict[str, int] = {}

    def follow(self, streams: Dict[str, int], credit: int) -> None:
        """From these offsets on; ``*`` stands for every stream that is not named."""
        self._credit = credit
        for name, offset in streams.items():
            if name == ALL:
                self._others_from = int(offset)
            else:
                self._streams[name] = Stream(int(offset))
        self.grown(self._folder.spool_sizes())

    def grown(self, sizes: Dict[str, int]) -> None:
        self._sizes.update(sizes)
        if self._others_from is not None:
            for name in sizes:
                if name not in self._streams:
                    self._streams[name] = Stream(self._others_from)

    def ack(self, name: str, offset: int) -> None:
        stream = self._streams.get(name)
        if stream is not None:
            stream.acked = max(stream.acked, min(offset, stream.sent))

    def pump(self, may_send: Callable[[], bool]) -> None:
        """Sends in turns, one chunk per stream, until there is nothing more or the channel is full."""
        busy = True
        while busy:
            busy = False
            for name, stream in self._streams.items():
                if not may_send():
                    return
                busy = self._send_chunk(name, stream) or busy

    def _send_chunk(self, name: str, stream: Stream) -> bool:
        room = min(_CHUNK_BYTES, self._sizes.get(name, 0) - stream.sent, self._credit - (stream.sent - stream.acked))
        if room <= 0:
            return False
        data = spool.read_at(self._folder.log(name), stream.sent, room)
        if not data:
            return False
        header = {"type": "output", "attempt": self._folder.tag, "stream": name, "offset": stream.sent}
        self._send(header, data)
        stream.sent += len(data)
        return True


class Reports:
    """The files BEOWULF_REPORT names, tailed. ``offset`` in a frame is where the next line begins."""

    def __init__(self, folder: AttemptFolder, send: Send) -> None:
        self._folder = folder
        self._send = send
        self._offsets: Dict[str, int] = {}
        self._due = False  # an old report must not travel again before the head said from where on
        self._skipping: Set[str] = set()
        self._looked = 0.0

    def resume(self, offsets: Dict[str, int]) -> None:
        """From these offsets on, else from where we are."""
        self._due = True
        self._offsets.update({name: int(offset) for name, offset in offsets.items()})

    def look(self, ranks: Dict[str, Any], may_send: Callable[[], bool], at_once: bool = False) -> None:
        """Sends what is new, at most five times a second unless ``at_once``."""
        now = time.monotonic()
        if not self._due or (not at_once and now - self._looked < _REPORT_PAUSE_S):
            return
        self._looked = now
        for name, size in self._folder.report_sizes().items():
            while self._offsets.get(name, 0) < size and may_send():
                if not self._send_some(name, ranks.get(name, int(name) if name.isdigit() else name)):
                    break

    def _send_some(self, name: str, rank: Any) -> bool:
        """Whether anything was taken from the file."""
        offset = self._offsets.get(name, 0)
        data = spool.read_at(self._folder.report(name), offset, _FRAME_LINES_BYTES)
        end = data.rfind(b"\n") + 1
        if end == 0:
            if len(data) < _LINE_BYTES:
                return False
            # A line without an end: let go of it piece by piece.
            self._skipping.add(name)
            self._offsets[name] = offset + len(data)
            return True
        lines = _with_ends(data[:end], offset)
        if name in self._skipping:
            self._skipping.discard(name)
            lines = lines[1:]
        self._offsets[name] = offset + end
        objects = _objects(lines)
        if objects:
            header = {"type": "report", "attempt": self._folder.tag, "rank": rank, "process": name}
            ends, values = [end for end, _ in objects], [value for _, value in objects]
            self._send(dict(header, offset=offset + end, ends=ends, lines=values), b"")
        return True


def _with_ends(data: bytes, offset: int) -> List[Tuple[int, bytes]]:
    """Each line with the offset at which it ends: what a repeat is known by, however the lines are grouped."""
    found = []
    for line in data.split(b"\n")[:-1]:
        offset += len(line) + 1
        found.append((offset, line))
    return found


def _objects(lines: List[Tuple[int, bytes]]) -> List[Tuple[int, Dict[str, Any]]]:
    found = []
    for end, line in lines:
        if len(line) > _LINE_BYTES:
            continue
        try:
            value = json.loads(
                line.decode("utf-8"), parse_constant=lambda word: None, parse_float=_finite, parse_int=_bounded
            )
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            found.append((end, value))
    return found


def _finite(text: str) -> Optional[float]:
    """None for 1e999, which Python reads and JSON has no word for: as for NaN."""
    number = float(text)
    return number if math.isfinite(number) else None


def _bounded(text: str) -> Optional[int]:
    """None for what no head can read, or keep."""
    return int(text) if len(text) <= _INTEGER_DIGITS else None
