"""The head's store of submitted folders: ``trees/<digest>/``, whole once it has that name."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from beowulf.model.errors import BadInput, NotFound
from beowulf.model.tree import TreeEntry, digest, manifest, read_manifest, total_bytes
from beowulf.sync.durable import settle
from beowulf.sync.expiry import Cached
from beowulf.sync.unpack import unpack_tar

LIMIT_BYTES = 64 * 1024**3


class TreeStore:
    """Safe to use from several threads. What a killed head left half done is removed when the store is opened."""

    def __init__(self, folder: Path, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self.folder = folder
        self._limit_bytes = limit_bytes
        self._changing = threading.Lock()  # a tree and its manifest come and go together
        self._manifests = folder / ".manifests"
        self._manifests.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove_leftovers(folder)

    def has(self, name: str) -> bool:
        return self._checked(name).is_dir() and (self._manifests / name).is_file()

    def path(self, name: str) -> Path:
        """Where the tree lies. Raises `NotFound`."""
        if not self.has(name):
            raise NotFound(f"tree {name[:12]} is not on the head", hint="submit the job again")
        return self.folder / name

    def put(self, name: str, chunks: Iterable[bytes]) -> tuple[TreeEntry, ...]:
        """Unpacks a tar (not compressed) as tree ``name``. Raises `BadInput` when it is not that tree, or not safe.

        After a power cut it is there whole or not at all; when this returned, it is.
        """
        self._checked(name)
        with scratch(self.folder) as temporary:
            tree = temporary / "tree"
            tree.mkdir()
            entries = unpack_tar(chunks, tree, limit_bytes=self._limit_bytes)
            found = digest(entries)
            if found != name:
                raise BadInput(f"the packed folder is not what was announced: {found[:12]}, not {name[:12]}")
            self._keep(name, tree, entries, temporary)
        return tuple(entries)

    def adopt(self, folder: Path, entries: Sequence[TreeEntry]) -> str:
        """Makes ``folder``, which lies in the same file system and holds ``entries``, a tree → its digest.

        After a power cut it is there whole or not at all.
        """
        name = digest(entries)
        with scratch(self.folder) as temporary:
            self._keep(name, folder, entries, temporary)
        return name

    def _keep(self, name: str, folder: Path, entries: Sequence[TreeEntry], temporary: Path) -> None:
        (temporary / "manifest").write_bytes(manifest(entries))
        settle([temporary / "manifest", *(folder / entry.path for entry in entries if entry.kind == "file")])
        with self._changing, contextlib.suppress(FileExistsError):
            os.replace(temporary / "manifest", self._manifests / name)
            rename_folder(folder, self.folder / name)
        settle([self._manifests, self.folder])

    def manifest(self, name: str) -> bytes:
        self.path(name)
        return (self._manifests / name).read_bytes()

    def entries(self, name: str) -> tuple[TreeEntry, ...]:
        return read_manifest(self.manifest(name))

    def touch(self, name: str) -> None:
        """Its time of use becomes now."""
        os.utime(self.path(name))

    def held(self) -> list[Cached]:
        return [
            Cached(path.name, total_bytes(self.entries(path.name)), path.stat().st_mtime)
            for path in self.folder.iterdir()
            if (self._manifests / path.name).is_file()
        ]

    def drop(self, names: Iterable[str]) -> None:
        for name in names:
            with scratch(self.folder) as temporary, self._changing, contextlib.suppress(FileNotFoundError):
                os.rename(self._checked(name), temporary / "tree")
                (self._manifests / name).unlink()

    def _checked(self, name: str) -> Path:
        if len(name) != 64 or set(name) - set("0123456789abcdef"):
            raise BadInput(f"{name[:80]!r} is not a tree's digest")
        return self.folder / name


def entries_of(folder: Path) -> list[TreeEntry]:
    """What lies in a folder that was just received: no links out of it, nothing but files, folders and links."""
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found.append(TreeEntry(name, "link", target=os.readlink(path)))
        elif path.is_dir():
            found.append(TreeEntry(name, "dir"))
        else:
            facts = path.stat()
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            found.append(TreeEntry(name, "file", bool(facts.st_mode & 0o100), content, size=facts.st_size))
    return found


def rename_folder(source: Path, target: Path) -> None:
    """Raises ``FileExistsError`` when another was first; theirs stays."""
    try:
        os.rename(source, target)
    except OSError as error:
        if target.is_dir():
            raise FileExistsError(str(target)) from error
        raise


@contextmanager
def scratch(above: Path) -> Iterator[Path]:
    """A locked folder in ``above`` that is gone at the end."""
    path, lock = _locked_folder(above)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def _locked_folder(above: Path) -> tuple[Path, int]:
    while True:
        path = above / f".tmp-{uuid.uuid4().hex}"
        path.mkdir(mode=0o700)
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.is_dir():  # nobody took it for a leftover before it was locked
                return path, lock
            os.close(lock)


def remove_leftovers(above: Path) -> None:
    """Removes the scratch folders that nobody holds."""
    for path in above.glob(".tmp-*"):
        with contextlib.suppress(FileNotFoundError, BlockingIOError):
            lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)
