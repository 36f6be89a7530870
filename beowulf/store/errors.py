"""What a database can do to us, in a user's words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DatabaseError, DBAPIError

from beowulf.model.errors import BeowulfError

# SQLite's primary result codes (sqlite.org/rescode.html).
_FULL, _IO_ERROR, _CORRUPT, _CANNOT_OPEN, _READ_ONLY, _NOT_A_DATABASE = 13, 10, 11, 14, 8, 26
_BUSY, _LOCKED = 5, 6

_WORDS = {
    _FULL: ("the disk is full", "free some space: the next change is tried again by itself"),
    _IO_ERROR: ("the disk does not answer as it should", "look at the kernel's log (dmesg) of the head"),
    _CORRUPT: ("the database is damaged", "put a backup in its place; nothing was started"),
    _NOT_A_DATABASE: ("the file is not a database", "put a backup in its place; nothing was started"),
    _CANNOT_OPEN: ("the database cannot be opened", "look at the folder's owner and mode"),
    _READ_ONLY: ("the database cannot be written", "look at the file's owner and mode"),
    _BUSY: ("another process keeps the database locked", "find it with: fuser FILE"),
    _LOCKED: ("another process keeps the database locked", "find it with: fuser FILE"),
}


class StoreError(BeowulfError):
    """Nothing of the transaction was kept. ``busy``: another process held the lock; trying again may help."""

    def __init__(self, message: str, *, hint: str = "", busy: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.busy = busy


@contextmanager
def in_words(path: str) -> Iterator[None]:
    """Turns the driver's errors into `StoreError`."""
    try:
        yield
    except (DBAPIError, DatabaseError) as error:
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
        what, hint = _WORDS.get(code, (str(error.orig), ""))
        busy = code in (_BUSY, _LOCKED)
        raise StoreError(f"{path}: {what} ({error.orig})", hint=hint, busy=busy) from error
