"""Log bytes → lines on a terminal or bytes in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from beowulf.client import Client, LogChunk

LONGEST = 64 * 1024  # a line that never ends is shown in pieces


class LinePrinter:
    """Whole lines of each process, ``[rank] `` before them where several write; escapes made harmless on terminals."""

    def __init__(self, *, prefix: bool) -> None:
        self._prefix = prefix
        self._terminal = sys.stdout.isatty()
        self._rest: dict[str, bytes] = {}

    def take(self, chunk: LogChunk) -> None:
        if not self._prefix and not self._terminal:
            self._write(chunk.data)
        else:
            whole, newline, rest = (self._rest.get(chunk.process, b"") + chunk.data).rpartition(b"\n")
            if len(rest) > LONGEST:
                whole, newline, rest = whole + newline + rest, b"\n", b""
            self._rest[chunk.process] = rest
            for line in whole.split(b"\n") if newline else ():
                self._line(chunk.process, line)
        sys.stdout.flush()

    def finish(self) -> None:
        for process, rest in self._rest.items():
            if rest:
                self._line(process, rest)
        sys.stdout.flush()

    def _line(self, process: str, line: bytes) -> None:
        from beowulf.views import printable

        if self._terminal:
            line = printable(line.decode("utf-8", "replace")).encode()
        mark = f"[{process}] ".encode() if self._prefix else b""
        self._write(mark + line + b"\n")

    @staticmethod
    def _write(data: bytes) -> None:
        buffer = sys.stdout.buffer
        buffer.write(data)
        buffer.flush()


def show_log(client: Client, chunks: Iterable[LogChunk], job_id: str, *, process: str = "") -> None:
    """Prints ``chunks``; lines are marked by process unless there is only one that writes."""
    printer: LinePrinter | None = None
    for chunk in chunks:
        if printer is None:
            printer = LinePrinter(prefix=not process and _several(client, job_id))
        printer.take(chunk)
    if printer is not None:
        printer.finish()


def _several(client: Client, job_id: str) -> bool:
    job = client.job(job_id)
    if job.get("spec", {}).get("setup"):
        return True
    newest = (job.get("attempts") or ())[-1:]
    return sum(len(share["ranks"]) for attempt in newest for share in attempt["allocation"]["shares"]) > 1
