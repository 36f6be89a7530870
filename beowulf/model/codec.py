"""Values to JSON text and back, by the types' own annotations (pydantic's adapters do the work)."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import TypeAdapter

from beowulf.model.event import EVENT_TYPES, Event

T = TypeVar("T")


_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}


def _adapter(kind: Any) -> TypeAdapter[Any]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def encode(value: Any) -> str:
    return _adapter(type(value)).dump_json(value).decode()


def plain(value: Any) -> Any:
    """Dicts, lists, strings and numbers, as `encode` would write them."""
    return _adapter(type(value)).dump_python(value, mode="json")


def decode(kind: type[T], text: str | bytes) -> T:
    """Raises pydantic's ``ValidationError`` (a ``ValueError``) when the text does not fit ``kind``."""
    value: T = _adapter(kind).validate_json(text)
    return value


def encode_event(event: Event) -> tuple[str, str]:
    """``(kind, body)``, the two columns an event is stored in."""
    return type(event).__name__, encode(event)


def decode_event(kind: str, body: str | bytes) -> Event:
    return decode(EVENT_TYPES[kind], body)
