"""What a key may hold, declared once: `read` checks a value, `schema` tells an editor, `words` tell people.

`Record` is the table of a file's (or section's) keys; parser, JSON Schema and reference page all come from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Protocol, TypeVar, cast

from beowulf.specs.complaints import REPORTED, Complaints, Place, Wrong, shown
from beowulf.specs.document import Node, Scalar, Sequence, Table

T = TypeVar("T")


class Kind(Protocol):
    """``read`` gives the value, or None after it complained; ``path`` is the key as people know it."""

    @property
    def words(self) -> str: ...

    def read(self, node: Node, path: str, to: Complaints) -> Any: ...

    def schema(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Word:
    """One scalar, read by ``parse`` from the text as written."""

    words: str
    parse: Callable[[str], Any]
    json: Mapping[str, Any]

    def read(self, node: Node, path: str, to: Complaints) -> Any:
        if not isinstance(node, Scalar):
            to.add(node.place, f"{path} must be one value: {self.words}")
            return None
        if node.is_null:
            to.add(node.place, f"{path} has no value: {self.words}")
            return None
        return attempt(self.parse, node, path, to)

    def schema(self) -> dict[str, Any]:
        return dict(self.json)


@dataclass(frozen=True)
class Many:
    """A list. ``single`` allows one value in its place; ``gather`` makes the result of the values read."""

    item: Kind
    words: str
    single: bool = True
    gather: Callable[[list[Any]], Any] = tuple
    most: int = 20_000

    def read(self, node: Node, path: str, to: Complaints) -> Any:
        if isinstance(node, Sequence):
            nodes = node.items
        elif self.single and isinstance(node, Scalar):
            nodes = (node,)
        else:
            to.add(node.place, f"{path} must be a list: {self.words}")
            return None
        if len(nodes) > self.most:
            to.add(node.place, f"{path} has more than {self.most} entries")
            return None
        values = [self.item.read(item, path, to) for item in nodes]
        if any(value is None for value in values):
            return None
        try:
            return self.gather(values)
        except Wrong as wrong:
            to.add(node.place, f"{path} {wrong}")
            return None

    def schema(self) -> dict[str, Any]:
        item = self.item.schema()
        many = {"type": "array", "items": item}
        return {"anyOf": [item, many]} if self.single else many


@dataclass(frozen=True)
class OneOf:
    """A scalar, a list or a mapping, each with its own reading; None where that form is not taken."""

    words: str
    scalar: Kind | None = None
    sequence: Kind | None = None
    table: Kind | None = None

    def read(self, node: Node, path: str, to: Complaints) -> Any:
        kind = {Scalar: self.scalar, Sequence: self.sequence, Table: self.table}[type(node)]
        if kind is None:
            to.add(node.place, f"{path} must be {self.words}")
            return None
        return kind.read(node, path, to)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [kind.schema() for kind in (self.scalar, self.sequence, self.table) if kind is not None]}


@dataclass(frozen=True)
class MapOf:
    """A mapping with free keys → ``{key: value}``."""

    key: Callable[[str], str]
    value: Kind
    words: str
    gather: Callable[[dict[str, Any]], Any] = dict
    most: int = 20_000

    def read(self, node: Node, path: str, to: Complaints) -> Any:
        if isinstance(node, Scalar) and node.is_null:
            return self.gather({})
        if not isinstance(node, Table):
            to.add(node.place, f"{path} must be a mapping: {self.words}")
            return None
        if len(node.entries) > self.most:
            to.add(node.place, f"{path} has more than {self.most} entries")
            return None
        found: dict[str, Any] = {}
        for entry in node.entries:
            key = attempt(self.key, entry.key, path, to)
            value = self.value.read(entry.value, f"{path}.{key or '…'}", to)
            if key in found:
                to.add(
                    entry.key.place, f"{path} {shown(entry.key.text)} is given twice: it is the same as {shown(key)}"
                )
            if key is not None and value is not None:
                found[key] = value
        try:
            return self.gather(found)
        except Wrong as wrong:
            to.add(node.place, f"{path} {wrong}")
            return None

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": self.value.schema()}


@dataclass(frozen=True)
class Key:
    name: str
    kind: Kind
    meaning: str
    default: str = ""
    also: tuple[str, ...] = ()
    also_kinds: Mapping[str, Kind] = field(default_factory=dict)  # an alias that is written in another form


@dataclass(frozen=True)
class Fields:
    """The values of a `Record` that were given and could be read."""

    place: Place
    values: Mapping[str, Any] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)  # of every key that was given, readable or not

    def get(self, key: str, default: T) -> T:
        return cast(T, self.values.get(key, default))

    def at(self, key: str) -> Place:
        return self.places.get(key, self.place)


@dataclass(frozen=True)
class Record:
    """A mapping with known keys → `Fields`. ``later`` names keys of coming versions and what to say of them."""

    keys: tuple[Key, ...]
    words: str = "a mapping"
    later: Mapping[str, str] = field(default_factory=dict)
    hint: str = ""  # said of an unknown key that resembles none

    def read(self, node: Node, path: str, to: Complaints) -> Fields | None:
        if isinstance(node, Scalar) and node.is_null:
            return Fields(node.place)
        if not isinstance(node, Table):
            to.add(node.place, f"{path or 'the file'} must be a mapping ({', '.join(key.name for key in self.keys)})")
            return None
        values: dict[str, Any] = {}
        places: dict[str, Place] = {}
        for entry in node.entries:
            key = self.find(entry.key.text)
            full = f"{path}.{entry.key.text}" if path else entry.key.text
            if key is None:
                to.add(entry.key.place, self._unknown(full, entry.key.text, len(to.found) < REPORTED))
                continue
            if key.name in places:
                to.add(entry.key.place, f"{full} is given twice: it is the same as {key.name}")
                continue
            places[key.name] = entry.value.place
            value = key.also_kinds.get(entry.key.text, key.kind).read(entry.value, full, to)
            if value is not None:
                values[key.name] = value
        return Fields(node.place, values, places)

    def find(self, name: str) -> Key | None:
        return next((key for key in self.keys if name == key.name or name in key.also), None)

    def _unknown(self, full: str, name: str, suggest: bool) -> str:
        if name in self.later:
            return f"{shown(full)} {self.later[name]}"
        known = [spelling for key in self.keys for spelling in (key.name, *key.also)]
        # Comparing is slow: a hostile file must not be able to ask for more of it than is printed.
        close = get_close_matches(name[:64].lower().replace("-", "_"), known, 1, 0.7) if suggest else []
        hint = self.hint or f"known are: {', '.join(key.name for key in self.keys)}"
        hint = f"did you mean '{close[0]}'?" if close else hint
        return f"key {shown(full)} is not known; {hint}"

    def schema(self) -> dict[str, Any]:
        properties: dict[str, Any] = {}
        for key in self.keys:
            default = f" Default: {key.default}." if key.default else ""
            properties[key.name] = {**key.kind.schema(), "description": key.meaning + default}
            for alias in key.also:
                kind = key.also_kinds.get(alias, key.kind)
                properties[alias] = {**kind.schema(), "description": f"Same as {key.name}."}
        return {"type": "object", "properties": properties, "additionalProperties": False}


def attempt(parse: Callable[[str], T], node: Scalar, path: str, to: Complaints) -> T | None:
    try:
        return parse(node.text)
    except Wrong as wrong:
        to.add(node.place, f"{path} {shown(node.text)} {wrong}")
        return None
