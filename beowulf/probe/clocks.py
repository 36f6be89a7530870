"""Why a node's processors run slower than they could: heat, power, a limit somebody set."""

from __future__ import annotations

from collections.abc import Iterator

from beowulf.probe.answers import Answer, whole

# Bits of nvidia-smi's clocks_event_reasons.active. The power cap (0x4) is left out: any busy card runs into it.
GPU_REASONS = ((0x60, "heat"), (0x80, "its power supply"), (0x8, "its own protection"))
HELD_BELOW = 0.9
"""A processor whose clock may reach less than this part of its best is told."""


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
        reasons = _bits(fields[1]) if len(fields) >= 4 else 0
        cause = next((word for bits, word in GPU_REASONS if reasons & bits), "")
        if cause:
            yield f"GPU {fields[0]} is slowed by {cause} ({fields[2]} of {fields[3]} MHz)"


def _bits(text: str) -> int:
    try:
        return int(text, 16) if text.startswith("0x") else 0
    except ValueError:
        return 0
