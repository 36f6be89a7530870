"""What jobs left on the head, logs and outputs: how much, since when, and the word that stays where it was let go."""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from beowulf.specs.settings import KeepJobs
from beowulf.sync.expiry import Cached, CacheLimits

LEFT = ("logs", "outputs")
NOTE = "let-go"


def limits_of(keep: KeepJobs) -> CacheLimits | None:
    """None: nothing goes by itself, as results are their owners' and the head cannot know whether they are needed."""
    if keep == KeepJobs():
        return None
    age_s = math.inf if keep.max_age_s is None else keep.max_age_s
    return CacheLimits(sys.maxsize if keep.max_mib is None else keep.max_mib << 20, age_s)


def leavings(jobs: Path) -> list[Cached]:
    """A job's folder, what is in it and when the newest of it came; those that hold nothing are left out."""
    found = []
    for folder in jobs.iterdir():
        parts = [folder / name for name in LEFT if (folder / name).is_dir()]
        if parts and _number(folder.name) >= 0:
            sizes, times = zip(*(pair for part in parts for pair in _contents(part)), strict=True)
            found.append(Cached(folder.name, sum(sizes), max(times)))
    return found


def _contents(part: Path) -> Iterator[tuple[int, float]]:
    """(bytes, when it came); what outputs say of their own age is where they were made, by another clock."""
    yield 0, part.stat().st_mtime
    for place, _, names in os.walk(part):
        for name in names:
            found = os.lstat(os.path.join(place, name))
            yield found.st_size, found.st_mtime if part.name == "logs" else 0.0


def dated(found: Iterable[Cached], now: float) -> list[Cached]:
    """Oldest job first. None is dated before one that was submitted before it, or later than now: a head that came up
    in 2010, as one does whose battery is flat, must not have written what is 16 years old an hour later."""
    latest, result = 0.0, []
    for item in sorted(found, key=lambda one: (_number(one.name), one.name)):
        if item.used_at <= now:
            latest = max(latest, item.used_at)
        result.append(replace(item, used_at=latest or now))
    return result


def let_go(folder: Path, why: str) -> None:
    """The word first: what is half gone after a kill is said to be gone, and goes the next time."""
    (folder / NOTE).write_text(why, encoding="utf-8")
    for name in LEFT:
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)


def word_of(folder: Path) -> str:
    """Why logs and outputs are not there any more; "" where nobody let them go."""
    try:
        return (folder / NOTE).read_text(encoding="utf-8")
    except OSError:
        return ""


def _number(job_id: str) -> int:
    number = job_id.partition("_")[0]
    return int(number) if number.isascii() and number.isdigit() else -1
