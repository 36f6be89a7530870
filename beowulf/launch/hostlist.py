"""Host lists as Slurm writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable

_TAIL = re.compile(r"^(.*?)(\d+)$")


def compressed(names: Iterable[str]) -> str:
    """``n1, n2, n3, gpu`` → ``n[1-3],gpu``. The order is kept: only neighbours are joined."""
    parts: list[str] = []
    run: tuple[str, int, int, int] | None = None  # prefix, width, first, last
    for name in names:
        match = _TAIL.match(name)
        key = (match[1], len(match[2]) if match[2].startswith("0") else 0, int(match[2])) if match else None
        if run is not None and key is not None and (run[0], run[3] + 1) == (key[0], key[2]) and _fits(run[1], key):
            run = (run[0], run[1], run[2], key[2])
            continue
        parts += _written(run)
        run = (*key, key[2]) if key is not None else None
        parts += [name] if key is None else []
    return ",".join(parts + _written(run))


def _fits(width: int, key: tuple[str, int, int]) -> bool:
    return width == key[1] or (width > 0 and key[1] == 0 and len(str(key[2])) == width)


def _written(run: tuple[str, int, int, int] | None) -> list[str]:
    if run is None:
        return []
    prefix, width, first, last = run
    return [f"{prefix}{first:0{width}d}" if first == last else f"{prefix}[{first:0{width}d}-{last:0{width}d}]"]
