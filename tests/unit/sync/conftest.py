"""A node is a folder and the real bulk program as a process of our own."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from beowulf.model.node import Endpoint, Facts, Node
from beowulf.model.tree import TreeEntry, digest

ROOT = Path(__file__).parents[3]


class ProcessChannel:
    """The bulk program over a pipe. ``limit`` ends it, as a power cut would, after so many bytes were written to it."""

    def __init__(self, home: Path, limit: int = 0) -> None:
        environment = dict(os.environ, HOME=str(home), PYTHONPATH=str(ROOT))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "beowulf.agent.bulk"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            bufsize=0,
        )
        self.limit = limit
        self.written = 0

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        if self.limit and self.written + len(data) > self.limit:
            view = memoryview(data)[: self.limit - self.written]
            while view:
                view = view[self.process.stdin.write(view) :]
            self.process.kill()
            self.process.wait()
            raise BrokenPipeError("power cut")
        view = memoryview(data)
        while view:
            view = view[self.process.stdin.write(view) :]
        self.written += len(data)

    def close_write(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def read(self, size: int) -> bytes:
        assert self.process.stdout is not None
        return self.process.stdout.read(size) or b""

    def close(self) -> None:
        if self.process.poll() is None:
            self.close_write()
            try:
                self.process.wait(120)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@dataclass
class LocalNodes:
    """Opens channels to nodes that are folders below ``home``; counts them and what went in."""

    home: Path
    limit: int = 0
    channels: list[ProcessChannel] = field(default_factory=list)

    def __call__(self, node: str) -> ProcessChannel:
        channel = ProcessChannel(self.home, self.limit)
        self.channels.append(channel)
        return channel

    def node(self, name: str = "n1", facts: Facts | None = None) -> Node:
        root = self.home / name
        root.mkdir(parents=True, exist_ok=True)
        return Node(name, Endpoint("127.0.0.1", local=True), 1, facts=facts or Facts(), root=str(root))

    @property
    def written(self) -> int:
        return sum(channel.written for channel in self.channels)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[LocalNodes]:
    opener = LocalNodes(tmp_path / "nodes")
    yield opener
    for channel in opener.channels:
        channel.close()


Content = dict[str, bytes | str | None]


def packed(content: Content, executable: frozenset[str] = frozenset()) -> tuple[str, bytes]:
    """``(digest, tar)`` of ``{path: bytes}``; a string is a link's target, None a folder."""
    entries = []
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, body in sorted(content.items()):
            info = tarfile.TarInfo(path)
            if body is None:
                info.type = tarfile.DIRTYPE
                entries.append(TreeEntry(path, "dir"))
                archive.addfile(info)
            elif isinstance(body, str):
                info.type, info.linkname = tarfile.SYMTYPE, body
                entries.append(TreeEntry(path, "link", target=body))
                archive.addfile(info)
            else:
                info.size, info.mode = len(body), 0o755 if path in executable else 0o644
                sha256 = hashlib.sha256(body).hexdigest()
                entries.append(TreeEntry(path, "file", path in executable, sha256, size=len(body)))
                archive.addfile(info, io.BytesIO(body))
    return digest(entries), buffer.getvalue()


def on_disk(folder: Path) -> Content:
    """What `packed` was given, read back from a folder."""
    found: Content = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = os.readlink(path)
        else:
            found[name] = None if path.is_dir() else path.read_bytes()
    return found
