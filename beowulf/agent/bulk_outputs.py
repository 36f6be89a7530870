"""Sending what a job left in its work folder: first the list, then the content."""

import json
import os
import stat
from typing import Any, Dict, Iterator, List

from beowulf.agent.bulk_frames import CHUNK, Frames

Entry = List[Any]
MANIFEST_BYTES = 1024 * 1024


class Listing:
    """What of the asked-for paths is there. Entries are ``[path, kind, executable, link target, bytes]``."""

    def __init__(self, work: str) -> None:
        self.work = os.path.realpath(work)
        self.entries: Dict[str, Entry] = {}
        self.missing: List[str] = []
        self.skipped: List[str] = []

    def add(self, asked: str) -> None:
        path = os.path.normpath(os.path.join(self.work, asked))
        inside = path == self.work or path.startswith(self.work + os.sep)
        if not inside or not self.inside(os.path.dirname(path) if path != self.work else path):
            self.skipped.append("{} is outside the work folder".format(asked))
        elif not os.path.lexists(path):
            self.missing.append(asked)
        else:
            self._add(path)

    def _add(self, path: str) -> None:
        self._note(path)
        if os.path.isdir(path) and not os.path.islink(path):
            for name in sorted(os.listdir(path)):
                self._add(os.path.join(path, name))

    def _note(self, path: str) -> None:
        name = os.path.relpath(path, self.work)
        facts = os.lstat(path)
        if stat.S_ISLNK(facts.st_mode):
            if not self.inside(path) or os.path.isabs(os.readlink(path)):
                self._follow(path, name)
            else:
                self.entries[name] = [name, "link", False, os.readlink(path), 0]
        elif stat.S_ISDIR(facts.st_mode):
            if name != ".":
                self.entries[name] = [name, "dir", False, "", 0]
        elif stat.S_ISREG(facts.st_mode):
            self.entries[name] = [name, "file", bool(facts.st_mode & 0o100), "", facts.st_size]
        else:
            self.skipped.append("{} is neither a file nor a folder".format(name))

    def _follow(self, path: str, name: str) -> None:
        """A link by absolute path means nothing on the head: the file it leads to goes instead, if it is the job's."""
        facts = os.stat(path) if self.inside(path) and os.path.exists(path) else None
        if facts is not None and stat.S_ISREG(facts.st_mode):
            self.entries[name] = [name, "file", bool(facts.st_mode & 0o100), "", facts.st_size]
        else:
            self.skipped.append("{} is a link out of the work folder, to {}".format(name, os.readlink(path)))

    def inside(self, path: str) -> bool:
        real = os.path.realpath(path)
        return real == self.work or real.startswith(self.work + os.sep)


def send_outputs(frames: Frames, root: str, request: Dict[str, Any]) -> Dict[str, Any]:
    """The list, then every file's bytes in the list's order, unless that is more than ``limit_bytes``."""
    listing = Listing(_work(root, request["tag"]))
    for path in request["paths"]:
        listing.add(path)
    entries = [listing.entries[name] for name in sorted(listing.entries)]
    total = sum(entry[4] for entry in entries)
    if total > request["limit_bytes"]:
        raise ValueError("the outputs hold {} bytes, the limit is {}".format(total, request["limit_bytes"]))
    found = {"entries": entries, "missing": listing.missing, "skipped": listing.skipped}
    frames.send_stream([json.dumps(found).encode("ascii")])
    frames.send_stream(_contents(listing.work, entries))
    return {}


def _work(root: str, tag: str) -> str:
    if "/" in tag or tag in ("", ".", ".."):
        raise ValueError("{!r} is not an attempt's tag".format(tag))
    return os.path.join(root, "attempts", tag, "work")


def send_survey(frames: Frames, root: str, request: Dict[str, Any]) -> Dict[str, Any]:
    """What lies directly in the folder ``path``: ``[name, modified at, manifest]``, hidden names left out.

    ``manifest`` is what ``manifest.json`` in a folder of that name says; null where there is none.
    """
    listing = Listing(_work(root, request["tag"]))
    folder = os.path.normpath(os.path.join(listing.work, request["path"]))
    entries = []
    if listing.inside(folder) and os.path.isdir(folder):
        for name in sorted(os.listdir(folder)):
            if not name.startswith("."):
                path = os.path.join(folder, name)
                entries.append([name, os.lstat(path).st_mtime, _manifest(os.path.join(path, "manifest.json"))])
    frames.send_stream([json.dumps(entries).encode("ascii")])
    return {}


def _manifest(path: str) -> Any:
    try:
        with open(path, "rb") as file:
            return json.loads(file.read(MANIFEST_BYTES).decode("utf-8"))
    except (OSError, ValueError):
        return None


def _contents(work: str, entries: List[Entry]) -> Iterator[bytes]:
    for name, kind, _, _, size in entries:
        if kind != "file":
            continue
        left = size
        with open(os.path.join(work, name), "rb") as file:
            while left:
                piece = file.read(min(left, CHUNK))
                if not piece:
                    raise ValueError("{} became shorter while it was read".format(name))
                left -= len(piece)
                yield piece
