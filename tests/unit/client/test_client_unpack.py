"""Outputs come from machines we do not trust with this one's files."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from beowulf.client.unpack import unpack
from beowulf.model.errors import BeowulfError


def packed(*members: tuple[str, bytes, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, kind, target in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            info.size = 1 if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(b"x"))
    return out.getvalue()


HOSTILE: dict[str, Callable[[], bytes]] = {
    "above": lambda: packed(("../evil", tarfile.REGTYPE, "")),
    "absolute": lambda: packed(("/tmp/evil-output", tarfile.REGTYPE, "")),
    "link out": lambda: packed(("a", tarfile.SYMTYPE, "../..")),
    "through a link": lambda: packed(("a", tarfile.SYMTYPE, "b"), ("a/evil", tarfile.REGTYPE, "")),
    "hard link": lambda: packed(("a", tarfile.LNKTYPE, "/etc/passwd")),
    "device": lambda: packed(("a", tarfile.CHRTYPE, "")),
    "cut off": lambda: packed(("a", tarfile.REGTYPE, ""))[:600],
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_outputs_are_refused(kind: str, tmp_path: Path) -> None:
    into = tmp_path / "deep" / "into"
    with pytest.raises(BeowulfError):
        unpack(iter([HOSTILE[kind]()]), into)
    assert not [path for path in tmp_path.rglob("*") if path.is_symlink()]
    assert {path.name for path in tmp_path.iterdir()} == {"deep"}


def test_a_second_time_replaces_what_was_there(tmp_path: Path) -> None:
    content = packed(("d", tarfile.DIRTYPE, ""), ("d/a", tarfile.REGTYPE, ""), ("d/b", tarfile.SYMTYPE, "a"))
    pieces = [content[start : start + 100] for start in range(0, len(content), 100)]
    for _ in range(2):
        assert unpack(iter(pieces), tmp_path) == ["d", "d/a", "d/b"]
    assert (tmp_path / "d/b").read_text() == "x"
