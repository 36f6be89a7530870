"""What a process wrote, in a file whose length is the offset to resume from."""

import os

CAP_MARK = "\n[beowulf: the log's cap of {} bytes is reached; what follows is dropped]\n"
_READ_BYTES = 256 * 1024


class Log:
    """One stream's file. Raises OSError from the constructor only."""

    def __init__(self, path: str, cap_bytes: int) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.size = os.fstat(self._descriptor).st_size
        self._cap_bytes = cap_bytes
        self._dropping = bool(cap_bytes) and self.size >= cap_bytes
        self.error = ""  # why nothing can be written any more

    def write(self, data: bytes) -> None:
        """Appends; past the cap a marker once, and nothing more. A full disk is told in ``error``."""
        if self._dropping or self.error:
            return
        if self._cap_bytes and self.size + len(data) > self._cap_bytes:
            data = data[: self._cap_bytes - self.size] + CAP_MARK.format(self._cap_bytes).encode("ascii")
            self._dropping = True
        view = memoryview(data)
        try:
            while view:
                written = os.write(self._descriptor, view)
                self.size += written
                view = view[written:]
        except OSError as error:
            self.error = error.strerror or str(error)

    def close(self) -> None:
        os.close(self._descriptor)


def read_at(path: str, offset: int, limit: int) -> bytes:
    """Up to ``limit`` bytes from ``offset``; empty when there is nothing (yet)."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.pread(descriptor, limit, offset)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def drain(descriptor: int) -> bytes:
    """What the pipe holds right now. Raises EOFError when nobody can write to it any more and it is empty."""
    try:
        data = os.read(descriptor, _READ_BYTES)
    except BlockingIOError:
        return b""
    if not data:
        raise EOFError
    return data
