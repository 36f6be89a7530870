"""What to drop from a cache: by age, then by size, never what is needed."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cached:
    name: str
    size_bytes: int
    used_at: float  # seconds since the epoch


@dataclass(frozen=True, slots=True)
class CacheLimits:
    max_bytes: int = 20 * 1024**3
    max_age_s: float = 30 * 86400.0


def to_drop(cached: Iterable[Cached], needed: Set[str], limits: CacheLimits, now: float) -> tuple[str, ...]:
    """Names to remove: those unused for longer than the age, then the least recently used until the rest fits."""
    by_use = sorted(cached, key=lambda item: (item.used_at, item.name))
    total = sum(item.size_bytes for item in by_use)
    dropped = []
    for item in by_use:
        if item.name in needed:
            continue
        if now - item.used_at > limits.max_age_s or total > limits.max_bytes:
            dropped.append(item.name)
            total -= item.size_bytes
    return tuple(dropped)
