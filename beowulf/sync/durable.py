"""What has to be there after a power cut: whoever is told of it may let go of his own copy."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from pathlib import Path

FEW = 64  # each one's flush is a commit of the file system's journal: more are dearer than all of it at once
_libc = ctypes.CDLL(None, use_errno=True)


def settle(paths: Sequence[Path]) -> None:
    """These files and folders, which lie in one file system, are on the disk when this returns. Raises ``OSError``."""
    if len(paths) > FEW:
        _with(paths[0], _flush_all)
        return
    for path in paths:
        _with(path, os.fsync)


def _with(path: Path, flush: Callable[[int], object]) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        flush(descriptor)
    finally:
        os.close(descriptor)


def _flush_all(descriptor: int) -> None:
    """The whole file system in which that lies."""
    if _libc.syncfs(descriptor):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
