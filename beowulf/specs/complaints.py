"""What is wrong with a text and where: collected, so that one reading reports everything."""

from __future__ import annotations

from dataclasses import dataclass, field

from beowulf.model.errors import BadInput

REPORTED = 50  # complaints printed before "and N more"
SHOWN = 60  # characters of a user's value quoted in a complaint


class Wrong(Exception):
    """Why one value cannot be taken, as the end of a sentence: ``is not a duration (90m, 1h30m, …)``."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """``jobs/pi.yaml:7:11``, or an option's name when ``line`` is 0."""

    name: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.name}:{self.line}:{self.column}" if self.line else self.name


@dataclass(slots=True)
class Complaints:
    found: list[tuple[Place, str]] = field(default_factory=list)

    def add(self, place: Place, message: str) -> None:
        if (place, message) not in self.found[-REPORTED:]:
            self.found.append((place, message))

    def raise_if_any(self) -> None:
        """Raises `BadInput` with one line per complaint, in the order of the text."""
        if not self.found:
            return
        ordered = sorted(self.found)
        lines = [f"{place}: {message}" for place, message in ordered[1:REPORTED]]
        if len(ordered) > REPORTED:
            lines.append(f"… and {len(ordered) - REPORTED} more")
        first_place, first = ordered[0]
        raise BadInput("\n".join([first, *lines]), where=str(first_place))


def shown(text: str) -> str:
    """``text`` in quotes, on one line, short, and harmless to a terminal."""
    cut = text if len(text) <= SHOWN else text[:SHOWN] + "…"
    safe = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in cut)
    return f"'{safe}'"
