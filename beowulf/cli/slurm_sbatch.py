"""``sbatch``: a script with ``#SBATCH`` lines, and the same options on the command line, which win."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from beowulf.cli.common import Said, say
from beowulf.cli.outcome import awaited
from beowulf.cli.plan import foretell
from beowulf.cli.progress import carried
from beowulf.cli.submit import warn
from beowulf.client.submitting import hand_in, packed_spec, read_text
from beowulf.model.errors import BadInput

if TYPE_CHECKING:
    from beowulf.specs.job import JobRequest

OWN = ("--parsable", "-W", "--wait", "--test-only", "-Q", "--quiet")
WRAP = "--wrap"


@dataclass(frozen=True)
class Asked:
    """``own``: of `OWN`; ``options``: as they would stand after #SBATCH; ``rest``: the script and what it gets."""

    own: frozenset[str]
    wrap: str | None
    options: tuple[str, ...]
    rest: tuple[str, ...]


@click.command(
    add_help_option=False, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def sbatch(said: Said, words: tuple[str, ...]) -> int:
    """Queue SCRIPT (or standard input, or --wrap COMMAND)."""
    asked = read_words(words)
    if set(words[: len(words) - len(asked.rest)]) & {"-h", "--help", "--usage"}:
        from beowulf.specs.sbatch import known_options

        click.echo("Usage: sbatch [OPTIONS] [SCRIPT [ARGS...]]\n\n  Queue a script with #SBATCH lines; options win.\n")
        click.echo(f"Options: {', '.join(sorted({*known_options(), *OWN, WRAP}))}")
        return 0
    request = _request(asked)
    if "--test-only" in asked.own:
        return foretell(said, request)
    spec, folders = packed_spec(request)
    with said.client() as client:
        hand_in(client, folders, say, carried)
        job_id, warning = client.submitted(spec, request.array)
        warn(job_id, warning)
        if "--parsable" in asked.own:
            click.echo(job_id)
        elif not asked.own & {"-Q", "--quiet"}:
            click.echo(f"Submitted batch job {job_id}")
        return awaited(client, job_id) if asked.own & {"-W", "--wait"} else 0


def read_words(words: Sequence[str]) -> Asked:
    """Options end at the script's name, as for sbatch."""
    from beowulf.specs.sbatch import FLAGS, SHORT

    left, own, options = list(words), set(), []
    wrap: str | None = None
    while left and left[0].startswith("-") and left[0] != "-":
        word = left.pop(0)
        name, equals, value = word.partition("=")
        if word in OWN:
            own.add(word)
        elif name == WRAP:
            wrap = value if equals else (left.pop(0) if left else "")
        else:
            alone = bool(equals) or name in FLAGS or (word[:2] in SHORT and len(word) > 2)
            options += [word] if alone or not left else [word, left.pop(0)]
    return Asked(frozenset(own), wrap, tuple(options), tuple(left))


def _request(asked: Asked) -> JobRequest:
    from beowulf.specs.job import parse_job
    from beowulf.specs.sbatch import is_script, with_options

    if asked.wrap is not None:
        if asked.rest:
            raise click.UsageError("--wrap and a script do not go together")
        name, text = "wrap", f"#!/bin/sh\n{asked.wrap}\n"
    elif asked.rest:
        name, text = asked.rest[0], read_text(Path(asked.rest[0]))
    else:
        name, text = "sbatch", _standard_input()
    if (asked.options or asked.rest[1:]) and not is_script(text):
        what = "options" if asked.options else "arguments"
        raise BadInput(f"is no script (#!), and a job file takes no {what} here", where=name, hint="beowulf submit")
    if any("\n" in word for word in asked.options):
        raise BadInput("an option has a line break in it", where="sbatch")
    request = parse_job(with_options(text, asked.options), name=name)
    arguments = asked.rest[1:]
    if not arguments:
        return request
    return replace(request, spec=replace(request.spec, argv=(*request.spec.argv, name, *arguments)))


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"is not UTF-8 text (byte {error.start})", where="standard input") from error
