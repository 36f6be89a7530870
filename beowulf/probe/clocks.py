"""Why a node's processors run slower than they could: heat, power, a limit somebody set."""

from __future__ import annotations

from collections.abc import Iterator

from beowulf.probe.answers import Answer, whole
from beowulf.split.clocks import HELD_BELOW, REASONS, gpu_reason


def read_clocks(answer: Answer) -> tuple[str, ...]:
    """One sentence per GPU or kind of limit; empty where all run freely or nothing is known."""
    return tuple(dict.fromkeys(sentence for line in answer.lines for sentence in _line(line)))


def _line(line: str) -> Iterator[str]:
    kind, _, rest = line.partition(" ")
    if kind == "cpu":
        allowed, best = [whole(word) or 0 for word in (*rest.split(), "", "")[:2]]
        if 0 < allowed < HELD_BELOW * best:
            yield f"its clock is held at {allowed // 1000} of {best // 1000} MHz"
    elif kind == "gpu":
        fields = [field.strip() for field in rest.split(",")]
        reason = gpu_reason(_bits(fields[1])) if len(fields) >= 4 else ""
        if reason:
            yield f"GPU {fields[0]} is slowed by {REASONS[reason]} ({fields[2]} of {fields[3]} MHz)"


def _bits(text: str) -> int:
    try:
        return int(text, 16) if text.startswith("0x") else 0
    except ValueError:
        return 0
