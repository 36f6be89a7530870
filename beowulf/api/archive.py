"""A folder as a tar stream, piece by piece."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

_PIECE = 256 * 1024


def tar_of(folder: Path) -> Iterator[bytes]:
    """Files, folders and links below ``folder`` in the order of their names; owners and sockets stay behind."""
    for path in sorted(folder.rglob("*")):
        yield from _member(path, str(path.relative_to(folder)))
    yield bytes(2 * tarfile.BLOCKSIZE)


def _member(path: Path, name: str) -> Iterator[bytes]:
    found = path.lstat()
    info = tarfile.TarInfo(name)
    info.mode, info.mtime = stat.S_IMODE(found.st_mode), int(found.st_mtime)
    if stat.S_ISLNK(found.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)
    elif stat.S_ISDIR(found.st_mode):
        info.type = tarfile.DIRTYPE
    elif not stat.S_ISREG(found.st_mode):
        return
    else:
        with path.open("rb") as file:
            info.size = os.fstat(file.fileno()).st_size
            yield _header(info)
            left = info.size
            while left:
                piece = file.read(min(left, _PIECE)) or bytes(min(left, _PIECE))  # shrunk meanwhile
                left -= len(piece)
                yield piece
        yield bytes(-info.size % tarfile.BLOCKSIZE)
        return
    yield _header(info)


def _header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
