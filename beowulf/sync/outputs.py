"""Bringing home what a job left: whole first, then file by file to its place."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from beowulf.agent.bulk_frames import StreamReader
from beowulf.model.node import NodeId
from beowulf.model.tree import TreeEntry, complaint, parents, total_bytes
from beowulf.sync.durable import settle
from beowulf.sync.errors import StagingError
from beowulf.sync.session import Session
from beowulf.sync.trees import remove_leftovers, scratch
from beowulf.sync.unpack import make_links, write_file

Admit: TypeAlias = Callable[[NodeId, int], None]
"""Called with a node and a size before that many bytes come from there. Raises `StagingError` where they may not."""


def freely(node: NodeId, size_bytes: int) -> None:
    """Whatever lies there may come."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``size_bytes``: of what comes at once."""

    size_bytes: int
    admit: Admit = freely


@dataclass(frozen=True, slots=True)
class Collected:
    """``missing`` are asked-for paths that were not there, ``skipped`` sentences about what was left behind."""

    files: int
    size_bytes: int
    missing: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


def collect(
    talk: Session, tag: str, paths: tuple[str, ...], into: Path, limits: Limits, moved: Callable[[int, int], None]
) -> Collected:
    """Nothing changes in ``into`` before all has arrived; then each file appears whole, in place of an older one.

    It is there after a power cut, too: the node is told to forget its own next.
    """
    talk.send({"type": "collect", "tag": tag, "paths": list(paths), "limit_bytes": limits.size_bytes})
    found = json.loads(talk.receive_whole())
    entries = [_entry(fields) for fields in found["entries"]]
    said = complaint(entries)
    total = total_bytes(entries)
    if said or total > limits.size_bytes:
        raise StagingError(f"{talk.node}: its outputs are refused: {said or 'more than was asked for'}")
    limits.admit(talk.node, total)
    into.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(into.parent)  # of a head that was killed while it did this
    with scratch(into.parent) as temporary:
        _receive(StreamReader(talk.receive_stream()), temporary, entries, lambda done: moved(done, total))
        talk.answer()
        settle([temporary / entry.path for entry in entries if entry.kind == "file"])
        merge(temporary, into)
        settle([into.parent, into, *sorted({into / above for entry in entries for above in parents(entry.path)})])
    files = sum(entry.kind == "file" for entry in entries)
    return Collected(files, total, tuple(found["missing"]), tuple(found["skipped"]))


def _entry(fields: list[object]) -> TreeEntry:
    path, kind, executable, target, size = fields
    if kind not in ("file", "link", "dir") or not isinstance(size, int) or size < 0:
        raise StagingError(f"not an entry of outputs: {fields!r:.200}")
    return TreeEntry(str(path), kind, bool(executable), target=str(target), size=size)


def _receive(stream: StreamReader, folder: Path, entries: list[TreeEntry], moved: Callable[[int], None]) -> None:
    done = 0

    def counted(pieces: Iterator[bytes]) -> Iterator[bytes]:
        nonlocal done
        for piece in pieces:
            yield piece
            done += len(piece)
            moved(done)

    for entry in entries:
        if entry.kind == "dir":
            (folder / entry.path).mkdir(parents=True, exist_ok=True)
        elif entry.kind == "file":
            (folder / entry.path).parent.mkdir(parents=True, exist_ok=True)
            write_file(folder / entry.path, counted(stream.pieces(entry.size)), entry.executable)
    if stream.rest():
        raise StagingError("more outputs came than were announced")
    for entry in entries:
        (folder / entry.path).parent.mkdir(parents=True, exist_ok=True)
    make_links(folder, entries)


def merge(source: Path, target: Path) -> None:
    """Moves everything below ``source`` to the same place below ``target``, over what is there."""
    target.mkdir(parents=True, exist_ok=True)
    for item in sorted(source.iterdir()):
        place = target / item.name
        if item.is_dir() and not item.is_symlink():
            if place.is_symlink() or place.is_file():
                place.unlink()
            merge(item, place)
            continue
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        os.replace(item, place)
