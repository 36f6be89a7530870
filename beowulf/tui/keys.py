"""The keys there are, read off the bindings themselves: the help page cannot forget one."""

from __future__ import annotations

from collections.abc import Iterator

from textual.binding import Binding
from textual.dom import DOMNode

NAMES = {
    "question_mark": "?",
    "slash": "/",
    "colon": ":",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "escape": "esc",
}


def key_pairs(*places: DOMNode) -> list[tuple[str, str]]:
    """``(keys, meaning)`` of what can be pressed there, one line per action; the nearest place first."""
    found: dict[str, tuple[list[str], str]] = {}
    for place in reversed(places):
        for binding in bindings(place):
            keys, _ = found.setdefault(binding.action, ([], binding.description))
            keys += [key for key in map(shown, binding.key.split(",")) if key not in keys]
    return [(" ".join(keys), meaning) for keys, meaning in found.values() if meaning]


def bindings(place: DOMNode) -> Iterator[Binding]:
    """Of its own class and those it is made from, as far as they are ours."""
    for kind in type(place).__mro__:
        if kind.__module__.startswith("beowulf."):
            for binding in kind.__dict__.get("BINDINGS", ()):
                if isinstance(binding, Binding):
                    yield binding


def shown(key: str) -> str:
    """As it stands on a keyboard: ``/``, ``esc``, ``^p``."""
    return NAMES.get(key, key.replace("ctrl+", "^"))
