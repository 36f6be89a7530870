"""GPUs as people ask for them → how many, which, how much of one. Each raises `Wrong`, the end of a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from beowulf.specs.complaints import Wrong
from beowulf.specs.quantities import MEMORY, integer, memory_mib

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True)
class Accelerators:
    """So many GPUs per node, of any of these kinds (empty: any), each with at least this memory."""

    count: int
    kinds: tuple[str, ...] = ()
    memory_mib: int = 0
    fraction: float = 0.0  # of one, beside other jobs; 0: whole ones


def accelerators(text: str) -> Accelerators:
    """``RTX3090:2``, ``RTX3090``, ``any:2``, ``:2``, ``2``, ``24GB:1``, ``RTX3090:24GB:1``; ``RTX3090:0.5`` is half."""
    if not text.strip():
        raise Wrong("is empty")
    count, memory, fraction = 1, 0, 0.0
    kinds: tuple[str, ...] = ()
    seen: set[str] = set()
    for part in text.split(":"):
        what = _part_of_accelerator(part)
        if what in seen:
            raise Wrong("is not an accelerator: NAME, MEMORY and COUNT may each be given once (RTX3090:24GB:1)")
        seen.add(what)
        if what == "count":
            count, fraction = accelerator_count(part)
        elif what == "memory":
            memory = memory_mib(part)
        elif part not in ("", "any"):
            kinds = (part,)
    return Accelerators(count, kinds, memory, fraction)


def accelerator_count(text: str) -> tuple[int, float]:
    """``2`` → (2, 0.0); ``0.5`` → (1, 0.5): a part of one."""
    if "." not in text:
        return integer(1, 1024)(text), 0.0
    fraction = float(text)
    if fraction.is_integer() and 1 <= fraction <= 1024:
        return int(fraction), 0.0
    if not 0.01 <= fraction < 1:
        raise Wrong("is neither a whole number of accelerators nor a part of one, from 0.01 to 0.99")
    return 1, fraction


def _part_of_accelerator(part: str) -> str:
    if re.fullmatch(r"[0-9]{1,12}|[0-9]{0,4}\.[0-9]{1,4}", part):
        return "count"
    if MEMORY.fullmatch(part):
        return "memory"
    if _NAME.fullmatch(part) or not part:
        return "name"
    raise Wrong("is not an accelerator (RTX3090:1, any:2, 24GB:1, RTX3090:24GB:1, RTX3090:0.5)")


def gpu_kind(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise Wrong("is not the name of an accelerator (RTX3090, H200, any)")
    return text


def capability(text: str) -> str:
    """``7.0+`` → ``7.0``; without the plus it says the same."""
    found = re.fullmatch(r"([0-9]{1,2}\.[0-9])\+?", text)
    if not found:
        raise Wrong("is no compute capability (7.0+)")
    return found[1]


def any_of(choices: Iterable[Accelerators]) -> Accelerators:
    """One wish from several: their kinds together. Counts and memory must agree."""
    wishes = list(choices)
    if not wishes:
        raise Wrong("is empty")
    if len({(wish.count, wish.memory_mib, wish.fraction) for wish in wishes}) > 1:
        raise Wrong("must ask for the same count (and memory) of each kind in a list")
    kinds = () if any(not wish.kinds for wish in wishes) else tuple(kind for wish in wishes for kind in wish.kinds)
    return Accelerators(wishes[0].count, tuple(dict.fromkeys(kinds)), wishes[0].memory_mib, wishes[0].fraction)
