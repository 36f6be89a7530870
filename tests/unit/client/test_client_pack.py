"""What goes along with a job, and that its digest is its content's."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beowulf.client.pack import ignored, pack
from beowulf.model.errors import BadInput
from beowulf.model.tree import complaint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    (work / "src" / "__pycache__").mkdir(parents=True)
    (work / ".git").mkdir()
    (work / ".git" / "HEAD").write_text("x")
    (work / "src" / "__pycache__" / "a.pyc").write_text("x")
    (work / "empty").mkdir()
    (work / "src" / "train.py").write_text("print(1)\n")
    (work / "run.sh").write_text("#!/bin/sh\n")
    (work / "run.sh").chmod(0o755)
    (work / "data.bin").write_bytes(b"x" * 1000)
    (work / "latest").symlink_to("src/train.py")
    return work


def test_entries_and_tar_agree(folder: Path, tmp_path: Path) -> None:
    packed = pack(folder)
    assert [entry.path for entry in packed.entries] == ["data.bin", "empty", "latest", "run.sh", "src", "src/train.py"]
    assert complaint(packed.entries) == ""
    with tarfile.open(fileobj=io.BytesIO(b"".join(packed.chunks()))) as archive:
        archive.extractall(tmp_path / "copy", filter="data")
    assert pack(tmp_path / "copy").digest == packed.digest
    assert (packed.files, packed.size_bytes) == (4, 1019)


def test_the_digest_follows_content_and_not_time(folder: Path) -> None:
    first = pack(folder).digest
    os.utime(folder / "run.sh", (1, 1))
    (folder / "data.bin").chmod(0o600)
    assert pack(folder).digest == first
    (folder / "run.sh").chmod(0o644)
    second = pack(folder).digest
    (folder / "data.bin").write_bytes(b"y" * 1000)
    assert len({first, second, pack(folder).digest}) == 3


def test_ignore_file(folder: Path) -> None:
    (folder / ".beowulfignore").write_text("# big\n*.bin\n/src/\n\n!keep.bin\n")
    (folder / "keep.bin").write_text("")
    paths = [entry.path for entry in pack(folder).entries if entry.kind != "link"]
    assert paths == [".beowulfignore", "empty", "keep.bin", "run.sh"]


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "src/../../outside"])
def test_links_that_lead_out_are_refused(folder: Path, target: str) -> None:
    (folder / "bad").symlink_to(target)
    with pytest.raises(BadInput, match="leads out") as error:
        pack(folder)
    assert str(folder / "bad") in error.value.message and ".beowulfignore" in error.value.hint


def test_odd_things(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        pack(tmp_path / "nothing")
    odd = os.fsdecode(b"b\xe4d\nname")
    (folder / odd).write_text("")
    assert odd in [entry.path for entry in pack(folder).entries]
    os.mkfifo(folder / "pipe")
    with pytest.raises(BadInput, match="neither a file"):
        pack(folder)


def test_one_file_is_a_tree_of_its_name(folder: Path) -> None:
    packed = pack(folder / "run.sh")
    assert [(entry.path, entry.executable) for entry in packed.entries] == [("run.sh", True)]


def test_a_file_that_shrinks_is_noticed(folder: Path) -> None:
    packed = pack(folder)
    (folder / "data.bin").write_bytes(b"")
    with pytest.raises(BadInput, match="shrank"):
        list(packed.chunks())


@given(st.text("ab/*.", min_size=1, max_size=8), st.lists(st.text("ab/*!.", max_size=5), max_size=4), st.booleans())
def test_any_pattern_gives_a_verdict(path: str, patterns: list[str], is_dir: bool) -> None:
    assert ignored(path, is_dir, patterns) in (True, False)
    assert ignored(path, is_dir, [*patterns, "*", "!*"]) is False
