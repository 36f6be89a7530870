"""Reading JSON of which a field may be missing: an older head, a listing without details."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

Json: TypeAlias = Mapping[str, Any]


def number(value: Json, name: str) -> float:
    found = value.get(name)
    return float(found) if isinstance(found, (int, float)) else 0.0


def text(value: Json, name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else "" if found is None else str(found)


def inner(value: Json, name: str) -> Json:
    found = value.get(name)
    return found if isinstance(found, Mapping) else {}


def items(value: Json, name: str) -> list[Any]:
    found = value.get(name)
    return list(found) if isinstance(found, (list, tuple)) else []


def count(value: Json, name: str) -> int:
    """A number, or how many there are in a list: ``used_cpus`` comes as either."""
    found = value.get(name)
    return len(found) if isinstance(found, (list, tuple)) else int(number(value, name))


def known(value: Json, name: str) -> float:
    """-1 where it was not told."""
    found = value.get(name)
    return float(found) if isinstance(found, (int, float)) else -1.0
