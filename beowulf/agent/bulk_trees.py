"""Receiving a tree: only content that no cached tree holds travels, and every byte is checked before it gets a name."""

import hashlib
import json
import os
from typing import Any, BinaryIO, Dict, Iterable, Iterator, List, Optional, Set, Tuple

from beowulf.agent.bulk_blocks import block_names
from beowulf.agent.bulk_fetch import fetched
from beowulf.agent.bulk_folders import Scratch, give_name, manifest_path, read_manifest
from beowulf.agent.bulk_frames import CHUNK, Frames, StreamReader

# A file at least this long (bytes) that changed is sent as differences to the one that had its path.
DIFFERENCES_FROM = 1024 * 1024

Entry = Tuple[str, str, bool, str, int]


class Cache:
    """Where content lies in the trees that are here already."""

    def __init__(self, root: str) -> None:
        self.by_content: Dict[str, str] = {}
        self.by_path: Dict[str, str] = {}
        for tree in _by_use(os.path.join(root, "trees")):
            try:
                with open(manifest_path(root, os.path.basename(tree)), "rb") as file:
                    entries = read_manifest(file.read())
            except (OSError, ValueError):
                continue
            for path, kind, _, content, size in entries:
                if kind != "file":
                    continue
                self.by_content[content] = os.path.join(tree, path)
                if size >= DIFFERENCES_FROM:
                    self.by_path[path] = os.path.join(tree, path)


def _by_use(above: str) -> List[str]:
    """Cached trees, the one used last at the end."""
    trees = [os.path.join(above, name) for name in os.listdir(above) if not name.startswith(".")]
    return sorted((tree for tree in trees if os.path.isdir(tree)), key=lambda tree: os.stat(tree).st_mtime)


def receive_tree(frames: Frames, root: str, scratch: Scratch, digest: str) -> Dict[str, Any]:
    """Manifest in, wants out, differences and content in. Raises ``ValueError`` when what came is not ``digest``."""
    text = b"".join(frames.receive_stream())
    if hashlib.sha256(text).hexdigest() != digest:
        raise ValueError("the tree's manifest is not the one its name says")
    entries = read_manifest(text)
    folder = scratch.new()
    cache = Cache(root)
    _make_folders(folder, entries)
    first: Dict[str, Entry] = {}  # content → the entry it is written to first
    for entry in entries:
        if entry[1] == "file" and entry[3] not in first:
            first[entry[3]] = entry
    wanted = [entry for entry in first.values() if not _copy_cached(folder, cache, entry)]
    bases = {entry[3]: _base(cache, entry) for entry in wanted}
    asked = [[entry[3], bases[entry[3]]] for entry in wanted]
    frames.send_stream([json.dumps(asked).encode("ascii")])
    steps = json.loads(b"".join(frames.receive_stream()).decode("ascii"))
    stream = StreamReader(frames.receive_stream())
    for entry in wanted:
        old = cache.by_path.get(entry[0], "")
        _write(os.path.join(folder, entry[0]), entry, _content(stream, entry, old, steps.get(entry[3])))
    if stream.rest():
        raise ValueError("more content came than was asked for")
    _finish(folder, entries, first)
    _store_manifest(root, scratch, digest, text)
    give_name(folder, os.path.join(root, "trees", digest))
    return {"wanted": len(wanted)}


def _make_folders(folder: str, entries: Iterable[Entry]) -> None:
    paths: Set[str] = {path if kind == "dir" else os.path.dirname(path) for path, kind, _, _, _ in entries}
    for path in sorted(paths | {""}):
        os.makedirs(os.path.join(folder, path), 0o755, exist_ok=True)


def _copy_cached(folder: str, cache: Cache, entry: Entry) -> bool:
    """Whether a cached tree had the content, and still has it unharmed."""
    source = cache.by_content.get(entry[3])
    if source is None:
        return False
    try:
        with open(source, "rb") as file:
            _write(os.path.join(folder, entry[0]), entry, _pieces(file))
    except (OSError, ValueError):
        return False
    return True


def _base(cache: Cache, entry: Entry) -> Optional[List[Any]]:
    """``[size, block names]`` of the file that had this path, if differences to it are worth a try."""
    old = cache.by_path.get(entry[0])
    if old is None or entry[4] < DIFFERENCES_FROM:
        return None
    try:
        with open(old, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            return [size, block_names(file, size)]
    except OSError:
        return None


def _content(stream: StreamReader, entry: Entry, old: str, steps: Optional[List[Any]]) -> Iterator[bytes]:
    """``steps``: None, the whole content comes; ``[["u", URL, length]]``, it is fetched there; else how to make it out
    of ``old``."""
    if steps and steps[0][0] == "u":
        for piece in fetched(steps[0][1], entry[4]):
            yield piece
        return
    if steps is None:
        for piece in stream.pieces(entry[4]):
            yield piece
        return
    with open(old, "rb") as file:
        for kind, offset, length in steps:
            for piece in _part(file, offset, length) if kind == "c" else stream.pieces(length):
                yield piece


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: file.read(CHUNK), b"")


def _part(file: BinaryIO, offset: int, length: int) -> Iterator[bytes]:
    file.seek(offset)
    while length:
        piece = file.read(min(length, CHUNK))
        if not piece:
            raise ValueError("{}: shorter than it was".format(file.name))
        length -= len(piece)
        yield piece


def _write(path: str, entry: Entry, pieces: Iterable[bytes]) -> None:
    """Raises ``ValueError`` when the bytes are not those the manifest names."""
    seen = hashlib.sha256()
    with open(path, "wb") as file:
        for piece in pieces:
            seen.update(piece)
            file.write(piece)
    if seen.hexdigest() != entry[3]:
        raise ValueError("{}: its content is not what was submitted".format(entry[0]))
    os.chmod(path, 0o755 if entry[2] else 0o644)


def _finish(folder: str, entries: Iterable[Entry], first: Dict[str, Entry]) -> None:
    """Second copies of the same content, and links, last: nothing is written through a link."""
    links = []
    for entry in entries:
        path, kind, _, content, _ = entry
        if kind == "link":
            links.append(entry)
        elif kind == "file" and first[content] is not entry:
            with open(os.path.join(folder, first[content][0]), "rb") as file:
                _write(os.path.join(folder, path), entry, _pieces(file))
    for path, _, _, target, _ in links:
        os.symlink(target, os.path.join(folder, path))


def _store_manifest(root: str, scratch: Scratch, digest: str, text: bytes) -> None:
    path = scratch.new()
    with open(path, "wb") as file:
        file.write(text)
    os.rename(path, manifest_path(root, digest))
