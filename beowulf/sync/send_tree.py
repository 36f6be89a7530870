"""Sending one tree to one node: what the node has in any of its trees does not travel again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from beowulf.agent.bulk_blocks import plan
from beowulf.model.errors import CloudError
from beowulf.sync.depot import LEAST_BYTES, Depot
from beowulf.sync.errors import StagingError
from beowulf.sync.session import Session
from beowulf.sync.trees import TreeStore
from beowulf.sync.unpack import CHUNK


@dataclass(frozen=True, slots=True)
class Sent:
    """``content_bytes`` were missing on the node, ``travelled_bytes`` went over the line (packed, without frames),
    ``fetched_bytes`` of the content came from a depot."""

    files: int = 0
    content_bytes: int = 0
    travelled_bytes: int = 0
    fetched_bytes: int = 0


def send_tree(
    talk: Session, store: TreeStore, digest: str, moved: Callable[[int, int, str], None], depot: Depot | None = None
) -> Sent:
    """``moved(done bytes, total bytes, file)`` hears how far it is, and with which. Raises `StagingError`."""
    talk.send({"type": "tree", "digest": digest})
    travelled = talk.send_stream([store.manifest(digest)])
    wanted = json.loads(talk.receive_whole())
    how = _sorted(talk, store, digest, wanted, depot)
    total = sum(length for _, _, length in how.parts) + how.fetched_bytes
    done, folder = 0, store.path(digest)
    file = ""

    def opened(path: Path) -> None:
        nonlocal file
        file = str(path.relative_to(folder))

    def sent(content_bytes: int, _: int) -> None:
        nonlocal done
        done += content_bytes
        moved(done, total, file)

    travelled += talk.send_stream([json.dumps(how.steps).encode("ascii")])
    travelled += talk.send_stream(_contents(how.parts, opened), sent)
    talk.answer()
    if how.fetched_bytes:
        moved(total, total, "")
    return Sent(len(wanted), total, travelled, how.fetched_bytes)


@dataclass(slots=True)
class _Ways:
    """How each content gets there: ``steps`` where it is not simply sent, ``parts`` of files that travel, in order."""

    steps: dict[str, list[list[Any]]] = field(default_factory=dict)
    parts: list[tuple[Path, int, int]] = field(default_factory=list)
    fetched_bytes: int = 0


def _sorted(talk: Session, store: TreeStore, digest: str, wanted: list[Any], depot: Depot | None) -> _Ways:
    by_content = {entry.sha256: entry for entry in store.entries(digest) if entry.kind == "file"}
    folder, how = store.path(digest), _Ways()
    for content, base in wanted:
        entry = by_content.get(content)
        if entry is None:
            raise StagingError(f"{talk.node}: it asked for content that is not in the tree")
        path = folder / entry.path
        if base is not None:
            how.steps[content] = _steps(path, entry.size, base)
            how.parts += [(path, offset, length) for kind, offset, length in how.steps[content] if kind == "d"]
        elif url := _url(depot, content, path, entry.size):
            how.steps[content] = [["u", url, entry.size]]
            how.fetched_bytes += entry.size
        else:
            how.parts.append((path, 0, entry.size))
    return how


def _url(depot: Depot | None, content: str, path: Path, size: int) -> str:
    """Where the node fetches it itself; "": it goes over the line."""
    if depot is None or size < LEAST_BYTES:
        return ""
    try:
        return depot.link(content, path)
    except CloudError:
        return ""


def _steps(path: Path, size: int, base: list[Any]) -> list[list[Any]]:
    with path.open("rb") as file:
        return [list(step) for step in plan(file, size, base[1], base[0])]


def _contents(parts: list[tuple[Path, int, int]], opened: Callable[[Path], None]) -> Iterator[bytes]:
    for path, offset, length in parts:
        opened(path)
        with path.open("rb") as file:
            file.seek(offset)
            yield from _pieces(file.read, path, length)


def _pieces(read: Callable[[int], bytes], path: Path, length: int) -> Iterator[bytes]:
    left = length
    while left:
        piece = read(min(left, CHUNK))
        if not piece:
            raise StagingError(f"{path} on the head is shorter than it was", hint="submit the job again")
        left -= len(piece)
        yield piece
