"""The database's file, the lock that keeps a second controller away, and the mark that says a queue was here."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from beowulf.model.errors import BadInput, Refused
from beowulf.store.errors import StoreError

_SCHEME = "sqlite:///"


@dataclass(frozen=True, slots=True)
class Place:
    database: Path

    @classmethod
    def of(cls, url: str) -> Place:
        """From ``sqlite:///relative`` or ``sqlite:////absolute``, the path percent-encoded."""
        if not url.startswith(_SCHEME) or not url.removeprefix(_SCHEME):
            raise BadInput(f"store {url!r} is not known", hint="give sqlite:///PATH")
        return cls(Path(unquote(url.removeprefix(_SCHEME))).absolute())

    @property
    def lock(self) -> Path:
        return self.database.with_name(self.database.name + ".lock")

    @property
    def mark(self) -> Path:
        """Holds the store's id from its first use on: an absent database is then a lost one, not a new one."""
        return self.database.with_name(self.database.name + ".id")

    def read_mark(self) -> str:
        try:
            return self.mark.read_text().strip()
        except FileNotFoundError:
            return ""

    def write_mark(self, store_id: str) -> None:
        """Durable before it returns."""
        draft = self.mark.with_name(self.mark.name + ".new")
        with open(draft, "w") as file:
            file.write(store_id + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.mark)
        self._sync_folder()

    def make_file(self) -> None:
        """An empty file only its owner can read; SQLite gives its side files the same mode."""
        self.database.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(self.database, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        self.database.chmod(0o600)
        self._sync_folder()

    def identity(self) -> tuple[int, int]:
        """Device and inode; ``(0, 0)`` when the file is gone."""
        try:
            found = self.database.stat()
        except FileNotFoundError:
            return (0, 0)
        return (found.st_dev, found.st_ino)

    def _sync_folder(self) -> None:
        folder = os.open(self.database.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def take_lock(place: Place) -> int:
    """A file descriptor that holds the lock until it is closed or its process dies. `Refused` names the holder."""
    try:
        place.lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(place.lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{place.lock}: {error.strerror}", hint="look at the folder's owner and mode") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise Refused(
            f"{place.database}: process {holder} already runs this cluster's controller",
            hint="beowulf down ends it",
        ) from None
    except OSError as error:
        os.close(descriptor)
        raise StoreError(f"{place.lock}: {error.strerror}") from error
    return descriptor
