"""What all verbs share: ``--host`` and ``--json``, the client, tables, and the voice on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from beowulf.model.errors import BeowulfError

if TYPE_CHECKING:
    from beowulf.client import Client

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Said:
    """What was said on the command line for every verb, before or after its name."""

    host: str = ""
    json: bool = False
    connect: Callable[[str], Client] | None = None  # tests bring their own

    def client(self, *, timeout_s: float | None = None) -> Client:
        """``timeout_s``: of each wait for a head on this machine; as long as it takes unless given."""
        from beowulf.client import Client

        if self.connect is not None:
            return self.connect(self.host)
        return Client.over_ssh(self.host) if self.host else Client.find(timeout_s=timeout_s)


def _keep(context: click.Context, option: click.Parameter, value: Any) -> None:
    if value:
        setattr(context.ensure_object(Said), str(option.name), value)


def hosted(function: F) -> F:
    """Adds ``--host``: of verbs whose output is for people, or for other programs as it is."""
    return click.option(
        "--host", metavar="USER@HEAD", expose_value=False, callback=_keep, help="Drive the head there, through SSH."
    )(function)


def common(function: F) -> F:
    """Adds ``--host`` and ``--json``."""
    as_json = click.option(
        "--json", is_flag=True, expose_value=False, callback=_keep, help="One JSON object with a versioned schema."
    )
    return hosted(as_json(function))


def example(*lines: str) -> str:
    """The end of a verb's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines) if len(lines) > 1 else f"Example:  {lines[0]}"


def emit(name: str, **data: Any) -> None:
    """``{"schema": "beowulf.NAME/1", …}`` on standard output."""
    named = {"schema": f"beowulf.{name}/1", **{key: value for key, value in data.items() if key != "schema"}}
    click.echo(json.dumps(named, indent=1, ensure_ascii=True))


def say(text: str) -> None:
    """Chatter: on standard error, so that standard output is data alone."""
    click.echo(text, err=True)


def one_by_one(names: Iterable[str], act: Callable[[str], Iterable[str]]) -> tuple[list[str], int]:
    """Goes on after one that fails, and says why it did. → what ``act`` gave, and the first failure's exit code."""
    done: list[str] = []
    code = 0
    for name in names:
        try:
            done += act(name)
        except BeowulfError as error:
            say(f"beowulf: {error}")
            code = code or error.exit_code
    return done, code


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, colour: int = -1) -> None:
    """Aligned columns; ``colour``: the column whose words are coloured on a terminal, where no line is too long."""
    for line in table_lines(columns, rows, colour=colour):
        _echo(line)


def table_lines(columns: Sequence[str], rows: Iterable[Sequence[str]], *, colour: int = -1) -> Iterator[str]:
    from beowulf.views import fitted, shortened

    lines = [tuple(columns), *(tuple(row) for row in rows)]
    natural = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    widths = fitted(natural, room(), [place for place, title in enumerate(columns) if title in FREE_TEXT])
    for number, line in enumerate(lines):
        cells = [shortened(cell, width).ljust(width) for cell, width in zip(line, widths, strict=True)]
        if number and colour >= 0:
            cells[colour] = click.style(cells[colour], fg=COLOURS.get(line[colour]))
        yield "  ".join(cells).rstrip()


def room() -> int:
    """How many characters a line has; 0: as many as it likes, because no terminal shows it."""
    import shutil

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


def pairs(facts: Iterable[tuple[str, str]]) -> None:
    """``label: value`` lines, the values below each other."""
    known = list(facts)
    width = max((len(label) for label, _ in known), default=0)
    for label, value in known:
        prose(value, " " * (width + 2), f"{label.ljust(width)}  ")


def prose(text: str, indent: str = "", lead: str = "") -> None:
    """A sentence, broken between words where a terminal shows it; its further lines stand below its first word.

    ``lead``: what stands before it, instead of the ``indent``.
    """
    import textwrap

    form = textwrap.TextWrapper(room() or 80, initial_indent=lead or indent, subsequent_indent=indent)
    form.break_long_words = form.break_on_hyphens = False  # a path or an option is copied whole
    lines = form.wrap(text) if room() and text else [(lead or indent) + text]
    for line in lines:
        _echo(line)


def _echo(text: str) -> None:
    click.echo(text, color=None if wants_colour() else False)


def wants_colour() -> bool:
    import os

    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and sys.stdout.isatty()


NO_NODES = "there are no machines yet: beowulf init finds and adds them"
FREE_TEXT = frozenset({"NAME", "USER", "REASON", "ANSWER", "DOOR", "SAYS", "OPENS WITH", "TYPE", "OS", "BY"})
COLOURS: Mapping[str, str] = {
    "RUNNING": "green",
    "COMPLETED": "green",
    "IDLE": "green",
    "CONFIGURING": "cyan",
    "COMPLETING": "cyan",
    "MIXED": "cyan",
    "ALLOCATED": "cyan",
    "PENDING": "yellow",
    "DRAINED": "yellow",
    "DRAINING": "yellow",
    "UNKNOWN": "yellow",
    "FAILED": "red",
    "TIMEOUT": "red",
    "NODE_FAIL": "red",
    "OUT_OF_MEMORY": "red",
    "DOWN": "red",
    "REFUSED": "red",
    "error": "red",
    "warning": "yellow",
}
