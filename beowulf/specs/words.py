"""The scalars our files are made of, each with its reading, its JSON Schema and its words for people."""

from __future__ import annotations

from collections.abc import Callable

from beowulf.specs import paths, quantities
from beowulf.specs.hosts import host_names
from beowulf.specs.kinds import Kind, Many, Word

TEXT = {"type": "string"}
TEXT_OR_NUMBER = {"type": ["string", "number"]}

line = Word("text on one line", quantities.line, TEXT)
script = Word("shell text", quantities.prose, TEXT)
any_text = Word("text", str, {"type": ["string", "number", "boolean"]})
name = Word("a name", quantities.name, {"type": "string", "pattern": "^[A-Za-z0-9._][A-Za-z0-9._-]{0,63}$"})
flag = Word("true or false", quantities.flag, {"type": "boolean"})
duration = Word("a duration: 90m, 1h30m, 2-03:00:00, or seconds", quantities.duration_s, TEXT_OR_NUMBER)
memory = Word("an amount: 16GB, 512MB; a bare number counts in GB", quantities.memory_mib, TEXT_OR_NUMBER)
money = Word("US dollars: 2.50", quantities.money_usd, TEXT_OR_NUMBER)
path = Word("a path on this machine", paths.local, TEXT)
source = Word("a path on this machine, or s3://bucket/key", paths.source, TEXT)
host_list = Many(
    Word("a host list: n[01-16],login", host_names, TEXT),
    "a host list: n[01-16],login",
    gather=lambda lists: tuple(dict.fromkeys(host for hosts in lists for host in hosts)),
    most=256,  # each may name thousands
)
names = Many(name, "a name or a list of names", gather=lambda found: tuple(dict.fromkeys(found)))


def choice(*words: str, **aliases: str) -> Word:
    shown = ", ".join([*words, *(f"{alias} (= {word})" for alias, word in aliases.items())])
    return Word(f"one of: {shown}", quantities.choice(*words, **aliases), {"enum": [*words, *aliases]})


def whole(low: int, high: int) -> Word:
    schema = {"type": "integer", "minimum": low, "maximum": high}
    return Word(f"a whole number from {low} to {high}", quantities.integer(low, high), schema)


def matched(words: str, parse: Callable[[str], object], pattern: str, *, number: bool = False) -> Word:
    """``pattern`` is for editors only; ``parse`` decides."""
    text = {"type": "string", "pattern": pattern}
    return Word(words, parse, {"anyOf": [{"type": "integer"}, text]} if number else text)


def many(item: Kind, words: str) -> Many:
    return Many(item, words)
