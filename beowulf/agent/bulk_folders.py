"""The node's caches on disk: scratch folders that a crash cannot leave for good, what is held, what to drop."""

import errno
import fcntl
import json
import os
import shutil
import stat
import uuid
from typing import Any, Dict, Iterator, List, Tuple

MANIFESTS = os.path.join("trees", ".manifests")
KINDS = ("trees", "envs", "wheels")


class Scratch:
    """``tmp/<id>/`` with ``tmp/<id>.lock``, locked while we live: a folder whose lock is free is nobody's."""

    def __init__(self, root: str) -> None:
        for name in KINDS + (MANIFESTS, "tmp"):
            os.makedirs(os.path.join(root, name), 0o700, exist_ok=True)
        self._above = os.path.join(root, "tmp")
        self._remove_leftovers()
        self.path = ""
        while not self.path:
            self._take()
        os.mkdir(self.path, 0o700)
        self._count = 0

    def _take(self) -> None:
        path = os.path.join(self._above, uuid.uuid4().hex)
        lock = os.open(path + ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Between the two lines above somebody may have taken it for a leftover.
        if os.path.exists(path + ".lock"):
            self._lock = lock
            self.path = path
        else:
            os.close(lock)

    def new(self) -> str:
        """A path below the scratch folder that does not exist yet."""
        self._count += 1
        return os.path.join(self.path, str(self._count))

    def close(self) -> None:
        remove(self.path)
        os.unlink(self.path + ".lock")
        os.close(self._lock)

    def _remove_leftovers(self) -> None:
        for name in os.listdir(self._above):
            folder = os.path.join(self._above, name)
            if not name.endswith(".lock"):
                if not os.path.exists(folder + ".lock"):
                    remove(folder)
                continue
            try:
                lock = os.open(folder, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(folder[: -len(".lock")])
                os.unlink(folder)
            except (BlockingIOError, FileNotFoundError):
                pass
            finally:
                os.close(lock)


def remove(path: str) -> None:
    """Whatever is there, read-only folders too; no error if nothing is."""
    if os.path.islink(path) or os.path.isfile(path):
        os.unlink(path)
        return
    for folder, _, _ in os.walk(path):
        os.chmod(folder, 0o700)
    shutil.rmtree(path, ignore_errors=True)


def give_name(source: str, target: str) -> None:
    """Renames a finished folder or file; if another session was first, theirs stays and ours goes."""
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        remove(source)


def manifest_path(root: str, digest: str) -> str:
    return os.path.join(root, MANIFESTS, checked(digest))


def checked(name: str) -> str:
    """``name`` if it is a hexadecimal digest: it becomes part of a path. Raises ``ValueError``."""
    if not name or len(name) > 128 or set(name) - set("0123456789abcdef"):
        raise ValueError("{!r} is not a digest".format(name))
    return name


def read_manifest(text: bytes) -> List[Tuple[str, str, bool, str, int]]:
    """``(path, kind, executable, content, size)`` of each entry; see the head's ``model/tree.py``."""
    entries = []
    for line in text.decode("ascii").splitlines():
        path, kind, executable, content, size = json.loads(line)
        if not path or path.startswith("/") or "\0" in path or ".." in path.split("/"):
            raise ValueError("{!r} is not a path below the tree".format(path))
        entries.append((path, kind, executable, content, size))
    return entries


def status(root: str, request: Dict[str, Any]) -> Dict[str, Any]:
    """Which of the asked-for trees, environments and wheels are here; their time of use becomes now."""
    present: Dict[str, Any] = {}
    for kind in KINDS:
        present[kind] = []
        for name in request.get(kind, ()):
            path = os.path.join(root, kind, checked(name))
            if os.path.isdir(path):
                os.utime(path, None)
                present[kind].append(name)
    return present


def held(root: str) -> Dict[str, Any]:
    """``{kind: [[name, bytes on disk, time of last use], …]}``."""
    found: Dict[str, Any] = {}
    for kind in KINDS:
        found[kind] = []
        for name in sorted(os.listdir(os.path.join(root, kind))):
            path = os.path.join(root, kind, name)
            if not name.startswith("."):
                found[kind].append([name, sum(_sizes(path)), os.stat(path).st_mtime])
    return found


def _sizes(path: str) -> Iterator[int]:
    for folder, _, names in os.walk(path):
        for name in names:
            facts = os.lstat(os.path.join(folder, name))
            if stat.S_ISREG(facts.st_mode):
                yield facts.st_size


def drop(root: str, scratch: Scratch, request: Dict[str, Any]) -> Dict[str, Any]:
    """Removes the named ones, by a rename first: half a tree never has a tree's name."""
    dropped = 0
    for kind in KINDS:
        for name in request.get(kind, ()):
            path = os.path.join(root, kind, checked(name))
            if not os.path.isdir(path):
                continue
            aside = scratch.new()
            os.rename(path, aside)
            if kind == "trees":
                remove(manifest_path(root, name))
            remove(aside)
            dropped += 1
    return {"dropped": dropped}
