"""Host lists in Slurm's short form."""

from __future__ import annotations

import re
from collections.abc import Iterable


def compress_hosts(names: Iterable[str]) -> str:
    """``["n01", "n02", "n03", "gpu"]`` → ``n[01-03],gpu``. Groups stay in the order their first name came."""
    groups: dict[tuple[str, str | None], list[str]] = {}
    for name in dict.fromkeys(names):
        match = re.fullmatch(r"(.*?)([0-9]{1,9})([^0-9]*)", name, re.DOTALL)
        if match:
            groups.setdefault((match[1], match[3]), []).append(match[2])
        else:
            groups[name, None] = []
    return ",".join(
        before if after is None else _group(before, found, after) for (before, after), found in groups.items()
    )


def _group(before: str, digits: list[str], after: str) -> str:
    if len(digits) == 1:
        return f"{before}{digits[0]}{after}"
    runs: list[list[str]] = []
    # 9 is followed by 10 and 09 by 10, but 9 not by 010: the spelling is part of the name
    for text in sorted(digits, key=lambda text: (int(text), text)):
        if runs and text == str(int(runs[-1][-1]) + 1).zfill(len(runs[-1][-1])):
            runs[-1].append(text)
        else:
            runs.append([text])
    spans = (run[0] if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return f"{before}[{','.join(spans)}]{after}"
