"""Checkpoints as folders: whole or not there, told from torn ones by a digest, the last few kept.

``FOLDER/step-000001200/`` holds ``state.pt`` and ``manifest.json``: ``{"version": 1, "step": 1200, "files":
{"state.pt": {"sha256": …, "size": bytes}}, …}``. The head reads the manifest, too; nothing here needs torch.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

STATE = "state.pt"
MANIFEST = "manifest.json"
KEPT = 3
_NAME = re.compile(r"step-(\d{9,18})\Z")
_SCRATCH = re.compile(r"\.(?:new|old)-(.+)-(\d+)\Z")
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Found:
    """A whole checkpoint. ``facts`` is its manifest."""

    path: str
    step: int
    digest: str  # SHA-256 of the state, hexadecimal
    facts: Mapping[str, Any]

    @property
    def state(self) -> str:
        return os.path.join(self.path, STATE)


def write(folder: str, step: int, facts: Mapping[str, Any], fill: Callable[[str], None]) -> str:
    """The path of the checkpoint of ``step``, whose state ``fill(path)`` wrote. A kill at any instant leaves it whole
    or absent, a power cut likewise. Raises OSError."""
    os.makedirs(folder, exist_ok=True)
    scratch = os.path.join(folder, f".new-{socket.gethostname()}-{os.getpid()}")
    shutil.rmtree(scratch, ignore_errors=True)
    os.mkdir(scratch)
    state = os.path.join(scratch, STATE)
    fill(state)
    digest, size = _digest(state)
    manifest = {**facts, "version": 1, "step": step, "files": {STATE: {"sha256": digest, "size": size}}}
    with open(os.path.join(scratch, MANIFEST), "w", encoding="utf-8") as file:
        json.dump(manifest, file)
    for path in (state, os.path.join(scratch, MANIFEST), scratch):
        _flush(path)
    final = os.path.join(folder, f"step-{step:09d}")
    _take_name(scratch, final)
    _flush(folder)
    return final


def _take_name(scratch: str, final: str) -> None:
    """Another may have been first, on a file system that nodes share; one that is not whole makes way."""
    if os.path.isdir(final):
        if look_at(final) is not None:
            shutil.rmtree(scratch)
            return
        _remove(final)
    os.rename(scratch, final)


def newest(folder: str) -> Found | None:
    """The newest one that is whole; None where there is none."""
    for name in sorted(_names(folder), reverse=True):
        found = look_at(os.path.join(folder, name))
        if found is not None:
            return found
    return None


def look_at(path: str) -> Found | None:
    """None for one that is torn, cut off or of another making."""
    try:
        with open(os.path.join(path, MANIFEST), "rb") as file:
            facts = json.loads(file.read().decode("utf-8"))
        step, told = int(facts["step"]), facts["files"][STATE]
        state = os.path.join(path, STATE)
        if facts["version"] != 1 or os.stat(state).st_size != told["size"]:
            return None
        return Found(path, step, told["sha256"], facts) if _digest(state)[0] == told["sha256"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def tidy(folder: str, kept: int = KEPT) -> None:
    """Removes all but the newest ``kept``, and what a killed writer of this host left half done."""
    for name in sorted(_names(folder), reverse=True)[kept:]:
        _remove(os.path.join(folder, name))
    for name in _listed(folder):
        left = _SCRATCH.match(name)
        if left and left.group(1) == socket.gethostname() and not _runs(int(left.group(2))):
            shutil.rmtree(os.path.join(folder, name), ignore_errors=True)


def _remove(path: str) -> None:
    """Out of sight at once, so that nobody takes a half removed one for a checkpoint."""
    hidden = os.path.join(os.path.dirname(path), f".old-{socket.gethostname()}-{os.getpid()}")
    with suppress(OSError):
        shutil.rmtree(hidden, ignore_errors=True)
        os.rename(path, hidden)
        shutil.rmtree(hidden, ignore_errors=True)


def _names(folder: str) -> list[str]:
    return [name for name in _listed(folder) if _NAME.match(name)]


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _digest(path: str) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(_BLOCK), b""):
            digest.update(block)
            size += len(block)
    return digest.hexdigest(), size


def _flush(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
