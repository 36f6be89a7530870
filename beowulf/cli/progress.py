"""How far something is, for whoever waits at a terminal: on standard error, gone when it is over. In pipes nothing."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

T = TypeVar("T")
PATIENCE_S = 0.7  # what is over sooner needs no bar


def shown() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


class Line:
    """One line that is there after `PATIENCE_S` and until `end`. For any thread."""

    def __init__(self, text: str, total: int | None = None, *, in_bytes: bool = False) -> None:
        self._text, self._total, self._in_bytes = text, total, in_bytes
        self._done = 0
        self._lock = threading.Lock()
        self._ended = False
        self._progress: Progress | None = None
        self._timer = threading.Timer(PATIENCE_S, self._show)
        self._timer.daemon = True
        if shown():
            self._timer.start()

    def advance(self, count: int = 1) -> None:
        with self._lock:
            self._done += count
            self._redraw()

    def tell(self, text: str) -> None:
        with self._lock:
            self._text = text
            self._redraw()

    def say(self, text: str) -> None:
        """Chatter, above the line where that is shown."""
        with self._lock:
            if self._progress is not None:
                self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)
                return
        click.echo(text, err=True)

    def end(self) -> None:
        self._timer.cancel()
        with self._lock:
            self._ended = True  # the timer may be about to run
            if self._progress is not None:
                self._progress.stop()
                self._progress = None

    def _redraw(self) -> None:
        if self._progress is not None:
            task = self._progress.task_ids[0]
            self._progress.update(task, description=self._text, completed=self._done)

    def _show(self) -> None:
        with self._lock:
            if self._ended:
                return
            self._progress = _bar(self._total is not None, self._in_bytes)
            self._progress.add_task(self._text, total=self._total, completed=self._done)
            self._progress.start()


def _bar(counted: bool, in_bytes: bool) -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TransferSpeedColumn,
    )

    columns: list[ProgressColumn] = [SpinnerColumn("line"), TextColumn("{task.description}", markup=False)]
    columns += [BarColumn(24)] if counted else []
    columns += [DownloadColumn(), TransferSpeedColumn()] if in_bytes else [MofNCompleteColumn()] if counted else []
    return Progress(
        *columns,
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,  # it is data, and stays as it is
        redirect_stderr=False,  # click writes past it
    )


@contextmanager
def waiting(text: str) -> Iterator[Line]:
    """For what nobody knows the length of."""
    line = Line(text)
    try:
        yield line
    finally:
        line.end()


def counted(text: str, things: Iterable[T], total: int) -> Iterator[T]:
    """``things`` as they come, each a step of the bar."""
    return _passed(Line(text, total), things, lambda _: 1)


def carried(text: str, pieces: Iterable[bytes], total: int | None = None) -> Iterator[bytes]:
    """``pieces`` as they come, the bar by their bytes."""
    return _passed(Line(text, total, in_bytes=True), pieces, len)


def _passed(line: Line, things: Iterable[T], size: Callable[[T], int]) -> Iterator[T]:
    try:
        for thing in things:
            yield thing
            line.advance(size(thing))
    finally:
        line.end()
