"""What a submitted folder is made of, and the one digest that names it: ``digest(entries) -> str``.

The digest is the SHA-256 of the manifest: one JSON line ``[path, kind, executable, content, size]`` per entry, sorted
by path, where content is a file's SHA-256 or a link's target. Whoever holds the manifest's bytes can check the
digest without knowing their meaning; that is how a node does it.

A single file travels as a tree of one entry, named as it shall be named on the node; its mount's target is then the
folder that the file goes into. The root folder itself has no entry. Empty folders do.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["file", "link", "dir"]


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """``path`` is relative to the tree's root, with ``/`` between its parts; undecodable bytes as ``os.fsdecode``.

    ``sha256`` (of the content, hexadecimal), ``executable`` and ``size`` (bytes) are set for files alone,
    ``target`` for links alone.
    """

    path: str
    kind: Kind = "file"
    executable: bool = False
    sha256: str = ""
    target: str = ""
    size: int = 0


def digest(entries: Iterable[TreeEntry]) -> str:
    """64 hexadecimal digits; the same for the same entries in any order."""
    return hashlib.sha256(manifest(entries)).hexdigest()


def manifest(entries: Iterable[TreeEntry]) -> bytes:
    """ASCII lines, sorted by path."""
    ordered = sorted(entries, key=lambda entry: entry.path)
    return "".join(_line(entry) for entry in ordered).encode("ascii")


def _line(entry: TreeEntry) -> str:
    content = entry.target if entry.kind == "link" else entry.sha256
    fields = [entry.path, entry.kind, entry.executable, content, entry.size]
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=True) + "\n"


def read_manifest(text: bytes) -> tuple[TreeEntry, ...]:
    """The entries that `manifest` wrote. Raises ``ValueError`` for anything else."""
    entries = []
    for line in text.decode("ascii").splitlines():
        fields = json.loads(line)
        if not isinstance(fields, list) or len(fields) != 5 or fields[1] not in ("file", "link", "dir"):
            raise ValueError(f"not a manifest line: {line[:200]}")
        path, kind, executable, content, size = fields
        sha256, target = ("", content) if kind == "link" else (content, "")
        entries.append(TreeEntry(path, kind, executable, sha256, target, size))
    return tuple(entries)


def total_bytes(entries: Iterable[TreeEntry]) -> int:
    return sum(entry.size for entry in entries)


def complaint(entries: Iterable[TreeEntry]) -> str:
    """Why these entries may not be unpacked, as a sentence; ``""`` if they may.

    Every path is relative and below the root, named once, and has only folders above it; every link stays inside.
    """
    by_path: dict[str, TreeEntry] = {}
    for entry in entries:
        said = path_complaint(entry.path)
        if said:
            return said
        if entry.path in by_path:
            return f"{entry.path!r} is in the tree twice"
        by_path[entry.path] = entry
    links = {entry.path: entry.target for entry in by_path.values() if entry.kind == "link"}
    for entry in by_path.values():
        if entry.kind == "link" and escapes(entry.path, links):
            return f"link {entry.path!r} leads out of the tree, to {entry.target!r}"
        for parent in parents(entry.path):
            if parent in by_path and by_path[parent].kind != "dir":
                return f"{entry.path!r} lies below {parent!r}, which is a {by_path[parent].kind}"
    return ""


def path_complaint(path: str) -> str:
    """Why ``path`` may not name something in a tree, as a sentence; ``""`` if it may."""
    if not path or "\0" in path or path.startswith("/"):
        return f"{path!r} is not a path below the tree"
    if any(part in ("", ".", "..") for part in path.split("/")):
        return f"{path!r} is not a plain path below the tree"
    return ""


def escapes(path: str, links: Mapping[str, str]) -> bool:
    """Whether following the link at ``path`` leads out of the tree whose links are ``{path: target}``.

    Links on the way are followed too; an absolute or empty target always leads out, a circle never does.
    """
    here: list[str] = []
    ahead = path.split("/")[::-1]
    hops = 0
    while ahead:
        part = ahead.pop()
        if part == ".." and not here:
            return True
        if part == "..":
            here.pop()
        elif part not in ("", "."):
            here.append(part)
        target = links.get("/".join(here)) if part not in ("", ".", "..") else None
        if target is None:
            continue
        if not target or "\0" in target or target.startswith("/"):
            return True
        hops += 1
        if hops > 40:  # as many as Linux follows
            return False
        here.pop()
        ahead.extend(target.split("/")[::-1])
    return False


def parents(path: str) -> list[str]:
    """``"a/b/c"`` → ``["a/b", "a"]``."""
    found = []
    above = posixpath.dirname(path)
    while above:
        found.append(above)
        above = posixpath.dirname(above)
    return found
