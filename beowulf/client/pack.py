"""A folder or file at submit: what goes along, its digest, and the tar that carries it."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from beowulf.model.errors import BadInput
from beowulf.model.job import Tree
from beowulf.model.tree import TreeEntry, digest, escapes, total_bytes

IGNORE_FILE = ".beowulfignore"
ALWAYS_IGNORED = (".git", "__pycache__")
_PIECE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Packed:
    """``entries`` by path; ``digest`` names their content in the head's tree store."""

    root: Path
    entries: tuple[TreeEntry, ...]
    digest: str
    single: Path | None = None  # the file, where it is one and no folder

    @property
    def tree(self) -> Tree:
        return Tree(self.digest, self.size_bytes, self.files, str(self.single or self.root))

    @property
    def size_bytes(self) -> int:
        return total_bytes(self.entries)

    @property
    def files(self) -> int:
        return sum(entry.kind != "dir" for entry in self.entries)

    def chunks(self) -> Iterator[bytes]:
        """The tar. Raises `BadInput` when a file has changed since `pack`."""
        for entry in self.entries:
            yield from _member(self.single or self.root / entry.path, entry)
        yield bytes(2 * tarfile.BLOCKSIZE)


def pack(source: Path, *, name: str = "") -> Packed:
    """Reads every file once. A single file is a tree of one entry, of its own name or called ``name``.

    Raises `BadInput` for a link that leads out of the folder, and for what is no file, folder or link.
    """
    if source.is_file():
        real = source.resolve()  # a link alone would carry nothing
        entry = _entry(real, name or source.name)
        return Packed(real.parent, (entry,), digest([entry]), real)
    if not source.is_dir():
        raise BadInput("no such file or folder", where=str(source))
    root = source
    entries = tuple(_entry(root / path, path) for path in _walk(root, "", read_patterns(root)))
    links = {entry.path: entry.target for entry in entries if entry.kind == "link"}
    for path, target in links.items():
        if escapes(path, links):
            raise BadInput(
                f"the link leads out of the folder, to {target!r}",
                where=str(root / path),
                hint=f"copy what it points to, or name the link in {IGNORE_FILE}",
            )
    return Packed(root, entries, digest(entries))


def read_patterns(folder: Path) -> tuple[str, ...]:
    """The lines of ``.beowulfignore`` but comments and empty ones."""
    try:
        lines = (folder / IGNORE_FILE).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except FileNotFoundError:
        return ()
    return tuple(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))


def ignored(path: str, is_dir: bool, patterns: Sequence[str]) -> bool:
    """Shell patterns: one with a ``/`` before its end is matched against the whole path, others against the name.

    One that ends in ``/`` matches folders alone, and a later ``!pattern`` takes a path back in.
    """
    name = path.rpartition("/")[2]
    if name in ALWAYS_IGNORED:
        return True
    verdict = False
    for pattern in patterns:
        keep, wanted = pattern.startswith("!"), pattern.removeprefix("!")
        if wanted.endswith("/") and not is_dir:
            continue
        wanted = wanted.rstrip("/")
        subject = path if "/" in wanted else name
        if fnmatch.fnmatchcase(subject, wanted.removeprefix("/")):
            verdict = not keep
    return verdict


def _walk(root: Path, below: str, patterns: Sequence[str]) -> Iterator[str]:
    try:
        found = sorted(os.scandir(root / below), key=lambda item: item.name)
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", where=str(root / below)) from error
    for item in found:
        path = f"{below}/{item.name}" if below else item.name
        is_dir = item.is_dir(follow_symlinks=False)
        if ignored(path, is_dir, patterns):
            continue
        yield path
        if is_dir:
            yield from _walk(root, path, patterns)


def _entry(place: Path, path: str) -> TreeEntry:
    try:
        found = place.lstat()
        if stat.S_ISLNK(found.st_mode):
            return TreeEntry(path, "link", target=os.readlink(place))
        if stat.S_ISDIR(found.st_mode):
            return TreeEntry(path, "dir")
        if not stat.S_ISREG(found.st_mode):
            raise BadInput("neither a file, a folder nor a link", where=str(place), hint=f"name it in {IGNORE_FILE}")
        sha256, size = _hash(place)
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", where=str(place)) from error
    return TreeEntry(path, "file", bool(found.st_mode & 0o100), sha256, size=size)


def _hash(place: Path) -> tuple[str, int]:
    seen, size = hashlib.sha256(), 0
    with place.open("rb") as file:
        while piece := file.read(_PIECE):
            seen.update(piece)
            size += len(piece)
    return seen.hexdigest(), size


def _member(place: Path, entry: TreeEntry) -> Iterator[bytes]:
    info = tarfile.TarInfo(entry.path)
    info.mode = 0o755 if entry.executable or entry.kind == "dir" else 0o644
    if entry.kind == "link":
        info.type, info.linkname = tarfile.SYMTYPE, entry.target
    elif entry.kind == "dir":
        info.type = tarfile.DIRTYPE
    info.size = entry.size
    yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    if entry.kind != "file":
        return
    left = entry.size
    with place.open("rb") as file:
        while left:
            piece = file.read(min(left, _PIECE))
            if not piece:
                raise BadInput("the file shrank while it was packed", where=str(place))
            left -= len(piece)
            yield piece
    yield bytes(-entry.size % tarfile.BLOCKSIZE)
