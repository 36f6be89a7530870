"""The YAML reader's events → `document`'s tree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from beowulf.specs.complaints import Complaints, Place, shown
from beowulf.specs.document import Entry, Node, Scalar, Sequence, Table

MAX_DEPTH = 16
MAX_VALUES = 20_000


class _Stop(Exception):
    """The text cannot be read any further; the reason is among the complaints."""


def build(text: str, name: str, to: Complaints) -> Node:
    """The tree of the one document in ``text``; an empty `Table` where nothing could be read."""
    try:
        return _Builder(name, to).document(_events(text, name, to))
    except _Stop:
        return Table(Place(name, 1, 1))


def _events(text: str, name: str, to: Complaints) -> Iterator[Any]:
    yaml = YAML(typ="safe", pure=True)
    try:
        yield from yaml.parse(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(name, mark.line + 1, mark.column + 1) if mark else Place(name, 1, 1)
        to.add(place, f"is not YAML: {error.problem or error.context}")
        raise _Stop from error
    except YAMLError as error:
        to.add(Place(name, 1, 1), f"is not YAML: {' '.join(str(error).split())}")
        raise _Stop from error
    except (ValueError, OverflowError) as error:  # the reader's own, for \\U00110000 and the like
        reader = yaml.reader
        to.add(Place(name, reader.line + 1, reader.column + 1), f"is not YAML: {error}")
        raise _Stop from error


class _Builder:
    def __init__(self, name: str, to: Complaints) -> None:
        self.name = name
        self.to = to
        self.values = 0

    def document(self, events: Iterator[Any]) -> Node:
        root: Node | None = None
        for event in events:
            if isinstance(event, DocumentStartEvent):
                if root is not None:
                    self.stop(event, "a second document begins here: one file, one document")
                if event.version or event.tags:
                    self.stop(event, "directives (%YAML, %TAG) are not used here")
            elif isinstance(event, (ScalarEvent, SequenceStartEvent, MappingStartEvent, AliasEvent)):
                root = self.node(event, events, 1)
            elif isinstance(event, (DocumentEndEvent, StreamEndEvent)):
                continue
        return Table(Place(self.name, 1, 1)) if root is None else root

    def node(self, event: Any, events: Iterator[Any], depth: int) -> Node:
        self.check(event, depth)
        if isinstance(event, ScalarEvent):
            return self.scalar(event)
        if isinstance(event, SequenceStartEvent):
            return self.sequence(event, events, depth)
        return self.table(event, events, depth)

    def check(self, event: Any, depth: int) -> None:
        self.values += 1
        if isinstance(event, AliasEvent) or event.anchor is not None:
            sign = "*" if isinstance(event, AliasEvent) else "&"
            self.stop(event, f"anchors and aliases ({sign}{event.anchor}) are not used here: write the value out")
        if event.tag is not None:
            self.stop(event, f"tags ({shown(str(event.tag))}) are not used here: remove it")
        if depth > MAX_DEPTH:
            self.stop(event, f"is nested deeper than {MAX_DEPTH} levels")
        if self.values > MAX_VALUES:
            self.stop(event, f"holds more than {MAX_VALUES} values")

    def scalar(self, event: ScalarEvent) -> Scalar:
        place = self.place(event)
        if "\0" in event.value or any("\ud800" <= char <= "\udfff" for char in event.value):
            self.to.add(place, f"{shown(event.value)} holds a NUL or half a character, which no program can be given")
        return Scalar(place, event.value, event.style is None)

    def sequence(self, start: SequenceStartEvent, events: Iterator[Any], depth: int) -> Sequence:
        items: list[Node] = []
        for event in events:
            if isinstance(event, SequenceEndEvent):
                break
            items.append(self.node(event, events, depth + 1))
        return Sequence(self.place(start), tuple(items))

    def table(self, start: MappingStartEvent, events: Iterator[Any], depth: int) -> Table:
        entries: dict[str, Entry] = {}
        for event in events:
            if isinstance(event, MappingEndEvent):
                break
            key = self.node(event, events, depth + 1)
            value = self.node(next(events), events, depth + 1)
            if not isinstance(key, Scalar):
                self.to.add(key.place, "a key must be one word")
            elif key.text in entries:
                first = entries[key.text].key.place.line
                self.to.add(key.place, f"key {shown(key.text)} is given twice (first in line {first})")
            else:
                entries[key.text] = Entry(key, value)
        return Table(self.place(start), tuple(entries.values()))

    def place(self, event: Any) -> Place:
        return Place(self.name, event.start_mark.line + 1, event.start_mark.column + 1)

    def stop(self, event: Any, message: str) -> None:
        self.to.add(self.place(event), message)
        raise _Stop
