"""The node's folder: where everything of a cluster lies, and records written so that a crash is harmless."""

import json
import os
import re
from typing import Any, Dict, List, Optional

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}\Z")
SOCKET = "keeper.sock"
RECORD_BYTES = 4096
"""What the exit record is sure to get, on a full disk too."""


class BadName(Exception):
    """A name from the wire that may not become part of a path."""


def checked(name: Any) -> str:
    """``name`` itself when it is one plain path element. Raises BadName."""
    if not isinstance(name, str) or not _NAME.match(name):
        raise BadName("{!r} is not a plain name".format(name))
    return name


class Folder:
    """``~/.beowulf/<cluster>/<node>``"""

    def __init__(self, path: str) -> None:
        self.path = path

    def make(self) -> None:
        for part in ("attempts", "trees", "envs", "trash"):
            os.makedirs(os.path.join(self.path, part), 0o700, exist_ok=True)
        os.chmod(self.path, 0o700)

    def attempt(self, tag: str) -> "AttemptFolder":
        return AttemptFolder(self.path, checked(tag))

    def attempts(self) -> List[str]:
        return sorted(tag for tag in os.listdir(os.path.join(self.path, "attempts")) if _NAME.match(tag))

    def tree(self, digest: str) -> str:
        return os.path.join(self.path, "trees", checked(digest))

    def environment(self, digest: str) -> str:
        return os.path.join(self.path, "envs", checked(digest))

    @property
    def trash(self) -> str:
        return os.path.join(self.path, "trash")


class AttemptFolder:
    """``<root>/attempts/<job.attempt>``"""

    def __init__(self, root: str, tag: str) -> None:
        self.root = root
        self.tag = tag
        self.path = os.path.join(root, "attempts", tag)
        self.work = os.path.join(self.path, "work")
        self.spool = os.path.join(self.path, "spool")
        self.bin = os.path.join(self.path, "bin")
        self.socket = os.path.join(self.path, SOCKET)
        self.intent = os.path.join(self.path, "intent.json")
        self.state = os.path.join(self.path, "state.json")
        self.exit = os.path.join(self.spool, "exit.json")

    def make(self) -> None:
        for path in (self.path, self.work, self.spool):
            os.makedirs(path, 0o700, exist_ok=True)

    def log(self, stream: str) -> str:
        return os.path.join(self.spool, checked(stream) + ".log")

    def report(self, process: str) -> str:
        return os.path.join(self.spool, checked(process) + ".report")

    def spool_sizes(self) -> Dict[str, int]:
        """Bytes spooled per stream."""
        return self._sizes(".log")

    def report_sizes(self) -> Dict[str, int]:
        return self._sizes(".report")

    def _sizes(self, ending: str) -> Dict[str, int]:
        sizes: Dict[str, int] = {}
        try:
            names = os.listdir(self.spool)
        except OSError:
            return sizes
        for name in names:
            if name.endswith(ending):
                try:
                    sizes[name[: -len(ending)]] = os.stat(os.path.join(self.spool, name)).st_size
                except OSError:
                    pass
        return sizes


def read_record(path: str) -> Optional[Dict[str, Any]]:
    """None when it is not there or not whole."""
    try:
        with open(path, "rb") as file:
            value = json.loads(file.read().decode("utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def write_record(path: str, value: Dict[str, Any], durable: bool = False) -> None:
    """Whole or not at all; with ``durable`` also after a power cut. Uses what `reserve` set aside. Raises OSError."""
    data = json.dumps(value, separators=(",", ":")).encode("ascii")
    descriptor = os.open(path + ".new", os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.ftruncate(descriptor, len(data))
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(path + ".new", path)
    if durable:
        sync_folder(os.path.dirname(path))


def reserve(path: str, size: int) -> None:
    """Sets the space for a later `write_record` aside. Raises OSError when the disk has none."""
    descriptor = os.open(path + ".new", os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
    finally:
        os.close(descriptor)


def sync_folder(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
