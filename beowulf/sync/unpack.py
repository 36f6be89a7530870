"""Writing what came from somewhere else into a fresh folder, so that nothing can land outside it."""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from beowulf.model.errors import BadInput
from beowulf.model.tree import TreeEntry, complaint, parents, path_complaint

CHUNK = 1024 * 1024


class ChunkReader:
    """A readable file over chunks, as far as ``tarfile`` needs one."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def read(self, size: int) -> bytes:
        parts = []
        missing = size
        while missing:
            if not self._rest:
                chunk = next(self._chunks, None)
                if chunk is None:
                    break
                self._rest = memoryview(chunk)
            part = self._rest[:missing]
            self._rest = self._rest[len(part) :]
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)


def unpack_tar(chunks: Iterable[bytes], folder: Path, *, limit_bytes: int) -> list[TreeEntry]:
    """The entries written below ``folder``, which must be empty.

    Links are made last, so nothing is ever written through one. Raises `BadInput` for what is not a plain tree.
    """
    seen: dict[str, TreeEntry] = {}
    left = limit_bytes
    try:
        with tarfile.open(fileobj=ChunkReader(chunks), mode="r|") as archive:  # type: ignore[call-overload]
            for member in archive:
                entry = _write(archive, member, folder, seen, left)
                if entry is not None:
                    seen[entry.path] = entry
                    left -= entry.size
    except tarfile.TarError as error:
        raise BadInput(f"the packed folder cannot be read: {error}") from error
    said = complaint(seen.values())
    if said:
        raise BadInput(f"the packed folder is refused: {said}")
    make_links(folder, seen.values())
    return list(seen.values())


def _write(
    archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, seen: dict[str, TreeEntry], left: int
) -> TreeEntry | None:
    path = member.name.removeprefix("./").rstrip("/")
    if path in ("", ".") and member.isdir():
        return None
    said = path_complaint(path) or _blocked(path, seen)
    if said:
        raise BadInput(f"the packed folder is refused: {said}")
    if member.isdir():
        (folder / path).mkdir(parents=True, exist_ok=True)
        return TreeEntry(path, "dir")
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    if member.issym():
        return TreeEntry(path, "link", target=member.linkname)
    if not member.isreg():
        raise BadInput(f"the packed folder is refused: {path!r} is neither a file, a folder nor a link")
    if member.size > left:
        raise BadInput("the packed folder is larger than the head takes", hint="leave data out with `ignore`")
    source = archive.extractfile(member)
    assert source is not None
    executable = bool(member.mode & 0o100)
    sha256 = write_file(folder / path, iter(lambda: source.read(CHUNK), b""), executable)
    return TreeEntry(path, "file", executable, sha256, size=member.size)


def _blocked(path: str, seen: dict[str, TreeEntry]) -> str:
    if path in seen and seen[path].kind != "dir":
        return f"{path!r} is in the tree twice"
    for parent in parents(path):
        if parent in seen and seen[parent].kind != "dir":
            return f"{path!r} lies below {parent!r}, which is a {seen[parent].kind}"
    return ""


def write_file(path: Path, pieces: Iterator[bytes], executable: bool) -> str:
    """The SHA-256 of what was written. The file must not exist yet."""
    seen = hashlib.sha256()
    with path.open("xb") as file:
        for piece in pieces:
            seen.update(piece)
            file.write(piece)
    os.chmod(path, 0o755 if executable else 0o644)
    return seen.hexdigest()


def make_links(folder: Path, entries: Iterable[TreeEntry]) -> None:
    for entry in entries:
        if entry.kind == "link":
            os.symlink(entry.target, folder / entry.path)
