"""Wheels that no index has and a script of ours makes on this head: one more place for pip and uv to look."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from beowulf.sync.errors import StagingError

MADE_BY = {"horovod": "scripts/build-horovod"}


def folder() -> Path:
    """As ``scripts/build-horovod`` names it, too."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "beowulf" / "wheels"


def asked(requirements: Iterable[str]) -> tuple[str, ...]:
    """Which of our packages these requirement lines name."""
    found = {re.split(r"[^A-Za-z0-9_.-]", line.strip(), maxsplit=1)[0].lower() for line in requirements}
    return tuple(name for name in MADE_BY if name in found)


def sources(requirements: Iterable[str], wheels: Path) -> tuple[str, ...]:
    """Options for pip and uv alike. Raises `StagingError` when a package is asked for that was never made."""
    names = asked(requirements)
    absent = [name for name in names if not any(wheels.glob(f"{name}-*.whl"))]
    if absent:
        raise StagingError(f"this head has no wheel of {absent[0]}: run {MADE_BY[absent[0]]} here")
    only = (word for name in names for word in ("--only-binary", name))
    return ("--find-links", str(wheels), *only) if names else ()


def told(error: StagingError, requirements: Iterable[str]) -> StagingError:
    """With what to do about it, where one of our packages may be why nothing fits."""
    names = asked(requirements)
    if not names:
        return error
    made = f"{MADE_BY[names[0]]} makes it for the torch, the Python and the C library it finds"
    return StagingError(f"{error.message} ({names[0]}: {made})")
