"""One node's answers, as the ``answers`` frame brought them, made safe to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ABSENT = 127  # what a shell says of a command it cannot find, and our snippets of a tool that is not there


@dataclass(frozen=True, slots=True)
class Answer:
    """``code`` is None when the question got no answer at all."""

    code: int | None = None
    out: str = ""
    err: str = ""
    timed_out: bool = False

    @property
    def lines(self) -> list[str]:
        return [line.strip() for line in self.out.splitlines() if line.strip()]

    @property
    def pairs(self) -> dict[str, str]:
        """``key=value`` lines; quotes around a value are taken off."""
        split = (line.partition("=") for line in self.lines if "=" in line)
        return {key.strip(): value.strip().strip("\"'") for key, _, value in split}


@dataclass(frozen=True, slots=True)
class Answers:
    raw: Mapping[str, Mapping[str, Any]]

    def of(self, name: str) -> Answer:
        raw = self.raw.get(name)
        if raw is None:
            return Answer()
        return Answer(_code(raw.get("code")), _text(raw.get("out")), _text(raw.get("err")), bool(raw.get("timed_out")))


def whole(text: str) -> int | None:
    """The number in ``text``, or None: tools write ``N/A``, ``[Not Supported]`` or ``ERR!`` where one should be."""
    try:
        return int(float(text.split()[0]))
    except (ValueError, IndexError, OverflowError):
        return None


def _code(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _text(value: object) -> str:
    return value.replace("\0", "") if isinstance(value, str) else ""
