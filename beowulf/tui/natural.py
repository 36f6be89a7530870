"""The order people expect of cells: by what they say, not by their letters."""

from __future__ import annotations

import re
from functools import lru_cache

from beowulf.views.bars import EIGHTHS, LEVELS

DRAWN = str.maketrans("", "", EIGHTHS.strip() + LEVELS + "·↓↑≤$")
PERIOD = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d\d)\b")
AMOUNT = re.compile(r"(\d+(?:\.\d+)?)([kKMGTP]?)")
UNITS = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
KEPT_KEYS = 1 << 16


@lru_cache(KEPT_KEYS)
def natural(text: str) -> tuple[tuple[int, float, str], ...]:
    """By the period or amount it begins with, bars aside (``9.9G`` before ``10G``); then ``n2`` before ``n10``."""
    plain = text.translate(DRAWN).strip()
    parts = [part for part in re.split(r"([0-9]+)", plain.casefold()) if part]
    named = tuple((0, float(part), "") if part[0].isdecimal() else (1, 0.0, part) for part in parts)
    if period := PERIOD.match(plain):
        days, hours, minutes, seconds = (int(part or 0) for part in period.groups())
        return ((0, float(((days * 24 + hours) * 60 + minutes) * 60 + seconds), ""), *named)
    if amount := AMOUNT.match(plain):
        return ((0, float(amount[1]) * UNITS[amount[2]], ""), *named)
    return named
