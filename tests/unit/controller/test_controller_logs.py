"""The head's copy of the logs: no gap, no repeat, and no path a node could choose."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beowulf.controller.logs import LogFiles


class Wire:
    def __init__(self) -> None:
        self.sent: list[Mapping[str, Any]] = []

    def __call__(self, node: str, header: Mapping[str, Any]) -> None:
        self.sent.append(header)


def files(folder: Path, complete: list[tuple[str, str]] | None = None) -> tuple[LogFiles, Wire]:
    wire = Wire()
    done = complete if complete is not None else []
    return LogFiles(folder, wire, lambda tag, node: done.append((tag, node))), wire


@pytest.mark.parametrize("tag", ["../../x.1", "1/../2.1", "/etc.1", "1.1/..", "", "1", "1.x", "1.1\n"])
def test_a_node_does_not_choose_the_folder(tmp_path: Path, tag: str) -> None:
    logs, _ = files(tmp_path / "jobs")
    with pytest.raises(ValueError):
        logs.append("n1", tag, "0", 0, b"x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stream", ["../x", "a/b", "", ".", "-x", "x" * 80, "a\0b"])
def test_a_node_does_not_choose_the_file(tmp_path: Path, stream: str) -> None:
    logs, _ = files(tmp_path / "jobs")
    with pytest.raises(ValueError):
        logs.append("n1", "1.1", stream, 0, b"x")
    assert list(tmp_path.iterdir()) == []


@given(st.binary(max_size=60), st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=20))
def test_whatever_comes_twice_or_too_early_the_file_is_a_prefix(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, pieces: list[tuple[int, int]]
) -> None:
    logs, wire = files(tmp_path_factory.mktemp("jobs"))
    for begin, length in pieces:
        if data[begin : begin + length]:
            logs.append("n1", "1.1", "0", begin, data[begin : begin + length])
    path = logs.folder("1.1") / "0.log"
    have = path.read_bytes() if path.exists() else b""
    assert data.startswith(have)
    asked = [header for header in wire.sent if header["type"] == "follow"]
    assert all(header["streams"]["0"] <= len(data) for header in asked)
    acks = [header["offset"] for header in wire.sent if header["type"] == "ack"]
    assert acks == sorted(acks) and (not acks or acks[-1] == len(have))


def test_what_a_full_disk_took_in_part_does_not_come_twice(tmp_path: Path) -> None:
    logs, _ = files(tmp_path)
    logs.append("n1", "1.1", "0", 0, b"0123")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(OSError):
            logs.append("n1", "1.1", "0", 4, b"456789abcdef")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "1" / "logs" / "1" / "0.log").read_bytes() == b"0123456789"
    logs.append("n1", "1.1", "0", 4, b"456789abcdef")
    assert (tmp_path / "1" / "logs" / "1" / "0.log").read_bytes() == b"0123456789abcdef"


@pytest.mark.parametrize("works", [True, False])
def test_a_power_cut_after_the_word_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, works: bool) -> None:
    """The node forgets its log once it is told to: by then ours, and the folders it is new in, are on the disk."""
    story: list[str] = []
    flush, failures = os.fsync, [] if works else [OSError(errno.EIO, "the disk did not take it")]

    def fsync(descriptor: int) -> None:
        if failures:
            raise failures.pop()
        flush(descriptor)
        story.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    monkeypatch.setattr(os, "fsync", fsync)
    logs = LogFiles(tmp_path, Wire(), lambda tag, node: story.append("complete"))
    logs.expect("n1", "7.1", {"0": 6, "1": 0})
    logs.append("n1", "7.1", "0", 0, b"abcdef")
    if not works:
        assert story == []
        logs.look("n1", "7.1")
    own = tmp_path / "7" / "logs" / "1"
    assert story == [str(path) for path in (own / "0.log", own, own.parent, tmp_path / "7", tmp_path)] + ["complete"]


def test_completeness_is_told_once_the_sizes_are_reached(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    logs, _ = files(tmp_path, told)
    logs.append("n1", "1.1", "0", 0, b"abc")
    logs.expect("n1", "1.1", {"0": 5, "setup": 2})
    logs.append("n1", "1.1", "setup", 0, b"ok")
    assert told == []
    logs.append("n1", "1.1", "0", 3, b"de")
    assert told == [("1.1", "n1")]
    assert (tmp_path / "1" / "logs" / "1" / "setup@n1.log").read_bytes() == b"ok"
