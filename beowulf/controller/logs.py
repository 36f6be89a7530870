"""The head's copy of what ranks wrote: ``jobs/<job>/logs/<attempt>/<process>.log``.

The file's length is the offset to go on from: append, then acknowledge. Frames come on the transport's thread; a byte
that was already here is not written twice, and one that would leave a gap is asked for again. What is complete is on
the disk before anybody is told: the node forgets its own next.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from beowulf.model.job import split_tag
from beowulf.model.node import NodeId
from beowulf.sync.durable import settle

log = structlog.get_logger("logs")

TAG = re.compile(r"\d+(_\d+)?\.\d+")  # nodes do not choose the head's paths
_STREAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def file_stem(stream: str, node: NodeId) -> str:
    """Ranks are unique in a gang; a set-up or a daemon is not, so its file carries the node's name.

    Raises ValueError for a name no agent of ours gives: nodes do not choose the head's paths.
    """
    if not _STREAM.fullmatch(stream):
        raise ValueError(f"stream name {stream!r} from {node}")
    return stream if stream.isdigit() else f"{stream}@{node}"


Send = Callable[[NodeId, Mapping[str, Any]], object]


class LogFiles:
    def __init__(
        self,
        jobs: Path,
        send: Send,
        complete: Callable[[str, NodeId], None],
        apart: Callable[[Callable[[], None]], object] = lambda work: work(),
    ) -> None:
        """``complete(tag, node)`` is called once the sizes told by `expect` are reached and on the disk. ``apart`` does
        what may wait for that disk."""
        self._jobs = jobs
        self._send = send
        self._complete = complete
        self._apart = apart
        self._lock = threading.Lock()
        self._sizes: dict[tuple[str, str], int] = {}
        self._expected: dict[tuple[str, NodeId], dict[str, int]] = {}

    def folder(self, tag: str) -> Path:
        if not TAG.fullmatch(tag):
            raise ValueError(f"attempt {tag!r}")
        job_id, attempt = split_tag(tag)
        return self._jobs / job_id / "logs" / str(attempt)

    def files(self, tag: str) -> dict[str, Path]:
        folder = self.folder(tag)
        return {path.stem: path for path in sorted(folder.glob("*.log"))} if folder.is_dir() else {}

    def sizes(self, tag: str) -> dict[str, int]:
        return {process: path.stat().st_size for process, path in self.files(tag).items()}

    def offsets(self, tag: str, node: NodeId) -> dict[str, int]:
        """Where to go on from, by the names ``node`` uses; a stream that is not named here starts at 0."""
        mine = {}
        for process, size in self.sizes(tag).items():
            stream, _, owner = process.partition("@")
            if owner in ("", node):
                mine[stream] = size
        with self._lock:
            for process in self._expected.get((tag, node), {}):
                mine.setdefault(process.partition("@")[0], self._size(tag, process))
        return mine

    def append(self, node: NodeId, tag: str, stream: str, offset: int, payload: bytes) -> None:
        process = file_stem(stream, node)
        with self._lock:
            size = self._size(tag, process)
            if offset > size:
                again = {"type": "follow", "attempt": tag, "streams": {stream: size}, "credit": len(payload)}
                self._send(node, again)
                return
            fresh = payload[size - offset :]
            if fresh:
                del self._sizes[tag, process]  # a full disk may take a part of it, and then fail
                self._write(tag, process, fresh)
            size += len(fresh)
            self._sizes[tag, process] = size
        self._send(node, {"type": "ack", "attempt": tag, "stream": stream, "offset": size})
        self.look(node, tag)

    def expect(self, node: NodeId, tag: str, sizes: Mapping[str, int]) -> None:
        with self._lock:
            self._expected[tag, node] = {file_stem(stream, node): size for stream, size in sizes.items()}
        self.look(node, tag)

    def close(self, tag: str) -> None:
        with self._lock:
            for key in [key for key in self._sizes if key[0] == tag]:
                del self._sizes[key]
            for due in [due for due in self._expected if due[0] == tag]:
                del self._expected[due]

    def look(self, node: NodeId, tag: str) -> None:
        """Whether all that is expected has come. Asked again when the disk did not take it."""
        with self._lock:
            expected = self._expected.get((tag, node))
            if expected is None or any(self._size(tag, process) < size for process, size in expected.items()):
                return
            del self._expected[tag, node]
        self._apart(lambda: self._finish(node, tag, expected))

    def _finish(self, node: NodeId, tag: str, expected: dict[str, int]) -> None:
        folder = self.folder(tag)
        files = [folder / f"{process}.log" for process, size in expected.items() if size]
        try:
            settle([*files, folder, *folder.parents[:3]] if files else [])
        except OSError as error:
            log.error("log not on the disk", attempt=tag, node=node, error=str(error))
            with self._lock:
                self._expected.setdefault((tag, node), expected)
            return
        self._complete(tag, node)

    def _size(self, tag: str, process: str) -> int:
        if (tag, process) not in self._sizes:
            path = self.folder(tag) / f"{process}.log"
            self._sizes[tag, process] = path.stat().st_size if path.exists() else 0
        return self._sizes[tag, process]

    def _write(self, tag: str, process: str, data: bytes) -> None:
        folder = self.folder(tag)
        path = folder / f"{process}.log"
        try:
            handle = path.open("ab")
        except FileNotFoundError:
            folder.mkdir(parents=True, exist_ok=True)
            handle = path.open("ab")
        with handle:
            handle.write(data)
