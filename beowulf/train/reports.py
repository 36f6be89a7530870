"""The lines a rank writes for the head: how fast it is, and what its script reports."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from typing import Any

EVERY_S = 1.0


class Reports:
    """Appends to ``file``, about once a second, means over the steps since the last line. Without a file, nothing."""

    def __init__(self, file: str | None) -> None:
        self._file = file
        self._values: dict[str, Any] = {}
        self._sums: dict[str, float] = {}
        self._steps = 0
        self._facts: dict[str, int] = {"step": 0}
        self._written = time.monotonic()

    def note(self, values: Mapping[str, Any]) -> None:
        """What the script wants on the next line; a tensor is read only when that is written."""
        self._values.update(values)

    def stepped(self, figures: Mapping[str, float], *, step: int, k: int, samples: int) -> None:
        for name, value in figures.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._steps += 1
        self._facts = {"step": step, "k": k, "samples": self._facts.get("samples", 0) + samples}
        if time.monotonic() - self._written >= EVERY_S:
            self.flush()

    def flush(self) -> None:
        if not self._steps and not self._values:
            return
        means = {name: total / max(1, self._steps) for name, total in self._sums.items()}
        self.line({**self._facts, **means, **self._values})
        self._values, self._sums, self._steps, self._facts = {}, {}, 0, {"step": self._facts["step"]}

    def line(self, values: Mapping[str, Any]) -> None:
        """One line of its own, at once."""
        self._written = time.monotonic()
        if self._file:
            text = json.dumps({name: _plain(value) for name, value in values.items()})
            with open(self._file, "a", encoding="utf-8") as lines:
                lines.write(text + "\n")


def _plain(value: Any) -> Any:
    """Finite numbers of any library as JSON numbers (7 significant digits); the rest, NaN included, as text."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    value = value.detach() if hasattr(value, "detach") else value
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    return float(f"{number:.7g}") if math.isfinite(number) else str(number)
