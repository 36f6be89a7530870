"""Manual pages in troff's man macros, made from the verbs themselves: one per verb, a group's verbs on its page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import click

from beowulf.cli.root import VERBS, beowulf

EXITS = (
    ("0", "Done; of submit \\-\\-wait and run: the job's own code."),
    ("1", "Failed; of doctor: something is wrong."),
    ("2", "Bad input; the sentence says where. Nothing was written."),
    ("3", "No such job or node."),
    ("4", "Refused, or the job can never run here."),
    ("5", "The head, or a node, cannot be reached."),
    ("124", "Not in time."),
    ("130", "Interrupted; of a job: cancelled."),
    ("137", "Of a job: out of memory."),
    ("141", "Who read the output went away."),
)
VARIABLES = (
    ("BEOWULF_HOME", "The head's folder, instead of ~/.local/state/beowulf."),
    ("NO_COLOR", "Set to anything: no colours."),
)


def pages() -> Mapping[str, str]:
    """``{"beowulf-submit.1": troff}`` of every verb that people type, and beowulf.1."""
    verbs = {name: told for name, (_, told) in VERBS.items() if told}
    return {"beowulf.1": front(), **{f"beowulf-{name}.1": page(name) for name in verbs}}


def front() -> str:
    """beowulf.1: the verbs, exit codes, environment."""
    verbs = [(name, told) for name, (_, told) in VERBS.items() if told]
    lines = [*_head("beowulf", str(beowulf.help)), *_described(("beowulf",), beowulf), ".SH VERBS"]
    lines += _terms((f"\\fBbeowulf {_plain(name)}\\fR", _text(told)) for name, told in verbs)
    lines += [".SH EXIT STATUS", *_terms(EXITS)]
    lines += [".SH ENVIRONMENT", *_terms((f"\\fB{name}\\fR", _text(told)) for name, told in VARIABLES)]
    seen = ", ".join(f"\\fBbeowulf\\-{_plain(name)}\\fR(1)" for name, _ in verbs)
    return "\n".join([*lines, *_examples(beowulf), ".SH SEE ALSO", seen]) + "\n"


def page(verb: str) -> str:
    command = beowulf.get_command(click.Context(beowulf), verb)
    assert command is not None, verb
    lines = [*_head(f"beowulf-{verb}", VERBS[verb][1]), *_described(("beowulf", verb), command)]
    for path, inner in _below(("beowulf", verb), command):
        lines += [f'.SH "{_plain(" ".join(path)).upper()}"', *_told(path, inner)]
    return "\n".join([*lines, *_examples(command), ".SH SEE ALSO", "\\fBbeowulf\\fR(1)"]) + "\n"


def _below(path: Sequence[str], command: click.Command) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every verb of a group, and of the groups in it."""
    if not isinstance(command, click.Group):
        return
    for name, inner in sorted(command.commands.items()):
        yield (*path, name), inner
        yield from _below((*path, name), inner)


def _head(name: str, sentence: str) -> list[str]:
    return [
        '.\\" Written by scripts/write-references from beowulf/cli; a test compares.',
        f'.TH {_plain(name).upper()} 1 "" "beowulf" "beowulf manual"',
        ".SH NAME",
        f"{_plain(name)} \\- {_text(sentence).rstrip('.')}",
    ]


def _described(path: Sequence[str], command: click.Command) -> list[str]:
    context = click.Context(command, info_name=" ".join(path))
    lines = [".SH SYNOPSIS", _synopsis(path, command, context), ".SH DESCRIPTION", *_paragraphs(command)]
    options = _options(command, context)
    return [*lines, *([".SH OPTIONS", *options] if options else [])]


def _told(path: Sequence[str], command: click.Command) -> list[str]:
    """A verb of a group, in a section of its own."""
    context = click.Context(command, info_name=" ".join(path))
    lines = [_synopsis(path, command, context), *(line for line in (".PP", *_paragraphs(command)))]
    lines += _options(command, context)
    examples = _example_lines(command)
    return [*lines, *([".PP", *_literal(examples)] if examples else [])]


def _synopsis(path: Sequence[str], command: click.Command, context: click.Context) -> str:
    return f"\\fB{_plain(' '.join(path))}\\fR {_plain(' '.join(command.collect_usage_pieces(context)))}"


def _paragraphs(command: click.Command) -> list[str]:
    texts = re.split(r"\n\s*\n", (command.help or "").replace("\b", "").strip())
    lines = [_text(" ".join(text.split())) for text in texts]
    return [line for text in lines for line in (text, ".PP")][:-1]


def _options(command: click.Command, context: click.Context) -> list[str]:
    records = [param.get_help_record(context) for param in command.params if isinstance(param, click.Option)]
    return _terms((f"\\fB{_plain(names)}\\fR", _text(told)) for names, told in filter(None, records))


def _terms(pairs: Iterator[tuple[str, str]] | Sequence[tuple[str, str]]) -> list[str]:
    return [line for term, told in pairs for line in (".TP", term, told or "\\&")]


def _examples(command: click.Command) -> list[str]:
    lines = _example_lines(command)
    return [".SH EXAMPLES", *_literal(lines)] if lines else []


def _example_lines(command: click.Command) -> list[str]:
    lines = (command.epilog or "").replace("\b", "").splitlines()
    words = (re.sub(r"^Examples?:", "", line).strip() for line in lines)
    return [word for word in words if word]


def _literal(lines: Sequence[str]) -> list[str]:
    return [".nf", ".RS", *(_plain(line) for line in lines), ".RE", ".fi"]


def _plain(text: str) -> str:
    """As it is typed: a hyphen stays one, and no line is taken for a request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return f"\\&{escaped}" if escaped.startswith(".") else escaped


def _text(text: str) -> str:
    """Prose; what stands between backticks is bold."""
    parts = re.split(r"``(.+?)``|`([^`]+)`", text)
    lines = []
    for place in range(0, len(parts), 3):
        code = parts[place + 1] or parts[place + 2] if place + 2 < len(parts) else ""
        lines += [_plain(parts[place]), f"\\fB{_plain(code)}\\fR" if code else ""]
    return "".join(lines).removesuffix("\\&") or "\\&"
