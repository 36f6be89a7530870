"""Numbers and names as people read them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TypeAlias

from beowulf.scheduler.request import Request

NaturalKey: TypeAlias = tuple[tuple[int, int, str], ...]

_DIGITS = re.compile(r"(\d+)")


def natural(name: str) -> NaturalKey:
    """Sort key: ``n2`` before ``n10``."""
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in _DIGITS.split(name) if part)


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def size(mib: int) -> str:
    return f"{mib / 1024:.3g} GiB" if mib >= 1024 else f"{mib} MiB"


def span(seconds: float) -> str:
    """``40 s``, ``25 min``, ``3.5 h``, ``2.1 days``."""
    for least, unit in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= least:
            return f"{seconds / least:.3g} {unit}"
    return f"{seconds:.0f} s"


def listed(names: Iterable[str], most: int = 4) -> str:
    """``n1``, ``n1 and n2``, ``n1, n2, n3 and 5 more``."""
    every = list(names)
    shown = every[:most] + ([f"{len(every) - most} more"] if len(every) > most else [])
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def gpu_words(request: Request) -> str:
    wanted = request.resources
    kinds = " or ".join(wanted.gpu_kinds)
    noun = f"{kinds} GPU" if kinds else "GPU"
    if wanted.gpu_part_mib:
        return f"{size(wanted.gpu_part_mib)} of 1 {noun}"
    if wanted.gpu_fraction:
        return f"{wanted.gpu_fraction:g} of 1 {noun}"
    with_memory = f" of {size(wanted.gpu_memory_mib)}" if wanted.gpu_memory_mib else ""
    able = f" of compute capability {wanted.gpu_capability}" if wanted.gpu_capability else ""
    return count(wanted.gpus, noun) + with_memory + able


def wants(request: Request, free: str = "free ") -> str:
    """``2 free threads, 1 RTX3090 GPU and 8 GiB memory``: what one node has to give."""
    wanted = request.resources
    parts = ["the whole node"] if wanted.all_cpus else [count(request.cpus, f"{free}thread")]
    parts += [gpu_words(request)] if wanted.gpus else []
    parts += [f"{size(wanted.memory_mib)} memory"] if wanted.memory_mib else []
    parts += [f"{size(wanted.disk_mib)} disk"] if wanted.disk_mib else []
    return listed(parts)


def answers_of(refusals: Sequence[tuple[str, str]], total: int) -> str:
    """``n1: needs 2 threads, 1 free; n2: …; and 6 more nodes``; ``refusals`` are the first of ``total``."""
    shown = [f"{node}: {sentence}" for node, sentence in refusals]
    if total > len(refusals):
        shown.append(f"and {count(total - len(refusals), 'more node')}")
    return "; ".join(shown)


def moment(at: float) -> str:
    """``2026-11-24 14:20 UTC``"""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def usd(amount: float) -> str:
    """``$0.42``, ``$1,250.00``"""
    return f"${amount:,.2f}"


def apart(one: float, other: float) -> tuple[str, str]:
    """Two amounts of dollars, with as many digits as tell them apart, five at the most."""
    for digits in range(2, 6):
        said = f"${one:,.{digits}f}", f"${other:,.{digits}f}"
        if said[0] != said[1]:
            break
    return said


def spoken(seconds: float) -> str:
    """``45 min``, ``2.5 h``, ``3 days``"""
    if seconds < 5400.0:
        return f"{seconds / 60.0:.0f} min"
    return f"{seconds / 3600.0:.3g} h" if seconds < 2 * 86400.0 else f"{seconds / 86400.0:.2g} days"
