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


def tar_bytes(folder: Path) -> int:
    """How long `tar_of` will be, but for names that need more than one block."""
    found = [path.lstat() for path in folder.rglob("*")]
    blocks = [-(-one.st_size // tarfile.BLOCKSIZE) if stat.S_ISREG(one.st_mode) else 0 for one in found]
    return tarfile.BLOCKSIZE * (sum(blocks) + len(found) + 2)


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
