"""How far below its clock a rank's processor runs, why, and whether that explains that it computes longer.

A clock is a part of the processor's own best, and only what it lacks beside the other ranks' counts: no processor keeps
its best clock with all cores at work, and machines are not alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

REASONS: Mapping[str, str] = {
    "heat": "heat",
    "supply": "its power supply",
    "protection": "its own protection",
    "limit": "a limit that somebody set",
}
"""Why a processor is slowed. The names are fields of a rank's reports."""
GPU_REASONS = ((0x60, "heat"), (0x80, "supply"), (0x8, "protection"))
"""Bits of a driver's "clocks event reasons". The power cap (0x4) is left out: any busy card runs into it."""
FIELDS = ("clock", *REASONS)
HELD_BELOW = 0.9
"""A processor whose clock is less than this part of what it could be is told."""
OFTEN = 0.1
"""A reason seen for less than this part of the time is none."""
EXPLAINS = 0.5
"""The clock is the cause where it makes up for at least this part of what a rank computes longer."""


@dataclass(frozen=True)
class Clock:
    """``part``: of its best clock, at which a processor ran (0: not known). ``reasons``: by name, for which part of
    the time it was slowed by that."""

    part: float = 0.0
    reasons: tuple[tuple[str, float], ...] = ()

    @property
    def reason(self) -> str:
        """In words, the one that was seen most often; "" where none was."""
        seen = [(time, name) for name, time in self.reasons if time >= OFTEN]
        return REASONS[max(seen)[1]] if seen else ""


def read_clock(report: Mapping[str, float]) -> Clock:
    """From the `FIELDS` of a report; what is not there is 0."""
    seen = tuple((name, report[name]) for name in REASONS if report.get(name))
    return Clock(report.get("clock", 0.0), seen)


def gpu_reason(bits: int) -> str:
    """The name of the reason in a driver's ``bits``; "" where there is none that counts."""
    return next((name for mask, name in GPU_REASONS if bits & mask), "")


def low_clock(mine: Clock, others: Sequence[Clock], compute_s: float, excess_s: float) -> str:
    """What a clock has to do with it that a rank computes ``excess_s`` longer than the others, of its ``compute_s``.

    A sentence; "" where it explains less than half of that, or where neither a reason nor other clocks are known.
    """
    known = [other.part for other in others if other.part > 0.0]
    usual = median(known) if known else 1.0
    lacking = max(0.0, 1.0 - mine.part / usual)
    if mine.part and lacking * compute_s < EXPLAINS * excess_s:
        return ""
    told = f"its processor runs at {100 * mine.part:.0f} % of its clock" if mine.part else "its processor is slowed"
    if mine.reason:
        return f"{told}, slowed by {mine.reason}" if mine.part else f"{told} by {mine.reason}"
    if known and mine.part and lacking > 1.0 - HELD_BELOW:
        return f"{told}, the others' at {100 * usual:.0f} %"
    return ""
