"""``beowulf help``"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from beowulf.cli.common import example

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def _verbs(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
    found, _path = _found(context.find_root().command, context.params.get("words") or ())
    return found.shell_complete(click.Context(found), begun) if isinstance(found, click.Group) else []


@click.command("help", epilog=example("beowulf help submit", "beowulf help nodes add", "man beowulf-submit"))
@click.argument("words", nargs=-1, metavar="[VERB...]", shell_complete=_verbs)
@click.pass_context
def help_(context: click.Context, words: tuple[str, ...]) -> None:
    """The manual page of a verb, or of beowulf; where that is no terminal, what --help says."""
    command, path = _found(context.find_root().command, words)
    if path[1:] != list(words):
        context.find_root().command.resolve_command(context, [words[0]])  # type: ignore[attr-defined]
        raise click.UsageError(f"{' '.join(path)} has no verb {words[len(path) - 1]!r}")
    if sys.stdout.isatty() and shutil.which("man"):
        from beowulf.cli.manual import front, page

        subprocess.run(("man", "-l", "-"), input=(page(words[0]) if words else front()).encode(), check=False)
        return
    click.echo(command.get_help(click.Context(command, info_name=" ".join(path))))


def _found(command: click.Command, words: Sequence[str]) -> tuple[click.Command, list[str]]:
    """The command the words lead to, as far as there is one, and the words that did."""
    path = ["beowulf"]
    for word in words:
        inner = command.get_command(click.Context(command), word) if isinstance(command, click.Group) else None
        if inner is None:
            break
        command = inner
        path.append(word)
    return command, path
