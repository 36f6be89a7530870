"""A tar stream into a folder, with nothing landing outside it."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from beowulf.model.errors import BeowulfError
from beowulf.model.tree import TreeEntry, complaint, path_complaint


class _Pieces(io.RawIOBase):
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        taken, self._rest = self._rest[: len(view)], self._rest[len(view) :]
        view[: len(taken)] = taken
        return len(taken)


def unpack(pieces: Iterator[bytes], into: Path) -> list[str]:
    """→ the paths written; what had these names is replaced. Raises `BeowulfError` for what would leave ``into``."""
    into.mkdir(parents=True, exist_ok=True)
    entries = []
    try:
        with tarfile.open(fileobj=io.BufferedReader(_Pieces(pieces)), mode="r|") as archive:
            for member in archive:
                entries.append(_write(archive, member, into))
    except tarfile.TarError as error:
        raise BeowulfError(f"the outputs cannot be unpacked: {error}") from error
    if said := complaint(entries):
        raise BeowulfError(f"the outputs are refused: {said}")
    for entry in entries:
        if entry.kind == "link":  # last, so that nothing was written through one
            (into / entry.path).unlink(missing_ok=True)
            os.symlink(entry.target, into / entry.path)
    return [entry.path for entry in entries]


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, into: Path) -> TreeEntry:
    path = member.name
    if said := path_complaint(path):
        raise BeowulfError(f"the outputs are refused: {said}")
    if member.issym():
        return TreeEntry(path, "link", target=member.linkname)
    target = into / path
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return TreeEntry(path, "dir")
    source = archive.extractfile(member) if member.isreg() else None
    if source is None:
        raise BeowulfError(f"the outputs are refused: {path!r} is no file, folder or link")
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink():
        target.unlink()
    with target.open("wb") as file:
        shutil.copyfileobj(source, file)
    target.chmod(0o755 if member.mode & 0o100 else 0o644)
    return TreeEntry(path)
