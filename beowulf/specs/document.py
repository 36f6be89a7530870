"""YAML text → a tree in which every value knows its place.

Scalars keep the text that was written (``3.10`` stays ``3.10``): whoever reads a key knows which type it wants.
Tags, anchors, aliases, directives and repeated keys have no use in our files and are refused, so nothing can grow or
run while reading.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from beowulf.specs.complaints import Complaints, Place

MAX_BYTES = 1024 * 1024
NULLS = ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True, slots=True)
class Scalar:
    place: Place
    text: str
    plain: bool = False  # written without quotes

    @property
    def is_null(self) -> bool:
        return self.plain and self.text in NULLS


@dataclass(frozen=True, slots=True)
class Sequence:
    place: Place
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    key: Scalar
    value: Node


@dataclass(frozen=True, slots=True)
class Table:
    place: Place
    entries: tuple[Entry, ...] = ()


Node: TypeAlias = Scalar | Sequence | Table


def read_document(text: str, name: str, to: Complaints) -> Node:
    """The tree of the one document in ``text``; an empty `Table` where nothing could be read."""
    top = Place(name, 1, 1)
    if _too_big(text):
        to.add(top, f"is larger than {MAX_BYTES // 1024} KiB: data belongs in workdir, not in this file")
        return Table(top)
    if _odd_character(text, name, to):
        return Table(top)
    from beowulf.specs.yaml_tree import build  # a command without a file need not pay for a YAML reader

    return build(text, name, to)


def _too_big(text: str) -> bool:
    return len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES


def _odd_character(text: str, name: str, to: Complaints) -> bool:
    """YAML allows tab, newline and carriage return; the reader's own complaint about others has no column."""
    for number, line in enumerate(text.split("\n"), 1):
        for column, char in enumerate(line, 1):
            if (char < " " and char not in "\t\r") or "\x7f" <= char <= "\x9f" or "\ud800" <= char <= "\udfff":
                to.add(Place(name, number, column), f"the character U+{ord(char):04X} is not allowed in a file")
                return True
    return False
