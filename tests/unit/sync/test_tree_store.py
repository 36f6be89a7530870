from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from conftest import Content, on_disk, packed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_tree_digest import paths

from beowulf.model.errors import BadInput, NotFound
from beowulf.model.tree import TreeEntry, complaint
from beowulf.sync.expiry import Cached, CacheLimits, to_drop
from beowulf.sync.trees import TreeStore


def chunks(data: bytes, size: int = 1000) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def test_a_tree_comes_back_as_it_was(tmp_path: Path) -> None:
    content: Content = {"a.py": b"print()", "d": None, "d/b": b"x" * 5000, "d/link": "../a.py", "empty": b""}
    name, tar = packed(content, frozenset({"a.py"}))
    store = TreeStore(tmp_path / "trees")
    assert not store.has(name)
    store.put(name, chunks(tar))
    assert store.has(name) and on_disk(store.path(name)) == content
    assert os.access(store.path(name) / "a.py", os.X_OK) and not os.access(store.path(name) / "d/b", os.X_OK)
    store.put(name, chunks(tar))  # again, as a repeated submit does
    assert on_disk(store.path(name)) == content
    store.drop([name])
    assert not store.has(name) and list((tmp_path / "trees").rglob("*")) == [tmp_path / "trees/.manifests"]
    with pytest.raises(NotFound):
        store.entries(name)


def test_a_tree_without_its_manifest_is_not_there_and_comes_again(tmp_path: Path) -> None:
    name, tar = packed({"a": b"x"})
    store = TreeStore(tmp_path)
    store.put(name, [tar])
    (tmp_path / ".manifests" / name).unlink()
    assert not store.has(name) and store.held() == []
    with pytest.raises(NotFound, match="submit the job again"):
        store.entries(name)
    store.put(name, [tar])
    assert store.has(name) and [entry.path for entry in store.entries(name)] == ["a"]


def test_content_other_than_announced_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    name, _ = packed({"a": b"one"})
    store = TreeStore(tmp_path)
    with pytest.raises(BadInput, match="not what was announced"):
        store.put(name, [packed({"a": b"two"})[1]])
    with pytest.raises(BadInput, match="cannot be read"):
        store.put(name, [b"no tar at all" * 100])
    with pytest.raises(BadInput, match="not a tree's digest"):
        store.has("../../etc")
    assert os.listdir(tmp_path) == [".manifests"]


def malicious() -> dict[str, list[tarfile.TarInfo]]:
    def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        return info

    return {
        "parent": [member("../evil")],
        "absolute": [member("/tmp/evil")],
        "middle": [member("a/../../evil")],
        "absolute link": [member("l", tarfile.SYMTYPE, "/etc")],
        "escaping link": [member("l", tarfile.SYMTYPE, "../..")],
        "through a link": [member("l", tarfile.SYMTYPE, "d"), member("d", tarfile.DIRTYPE), member("l/evil")],
        "link over a folder": [member("d/x"), member("d", tarfile.SYMTYPE, ".")],
        "device": [member("null", tarfile.CHRTYPE)],
        "pipe": [member("pipe", tarfile.FIFOTYPE)],
        "hard link": [member("h", tarfile.LNKTYPE, "/etc/passwd")],
        "twice": [member("a"), member("a")],
        "chain": [member("d/u", tarfile.SYMTYPE, ".."), member("x", tarfile.SYMTYPE, "d/u/..")],
    }


@pytest.mark.parametrize("case", malicious())
def test_hostile_tars_are_refused(tmp_path: Path, case: str) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for info in malicious()[case]:
            archive.addfile(info)
    store = TreeStore(tmp_path / "a/b/trees")
    with pytest.raises(BadInput, match="refused"):
        store.put("0" * 64, [buffer.getvalue()])
    assert [path.name for path in (tmp_path / "a").rglob("*")] == ["b", "trees", ".manifests"]


def test_a_tar_over_the_limit_is_refused(tmp_path: Path) -> None:
    name, tar = packed({"a": b"x" * 600, "b": b"x" * 600})
    with pytest.raises(BadInput, match="larger than the head takes"):
        TreeStore(tmp_path, limit_bytes=1000).put(name, [tar])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(paths, st.one_of(st.binary(max_size=30), paths), max_size=6))
def test_any_tree_is_stored_exactly_or_refused(tmp_path: Path, content: Content) -> None:
    name, tar = packed(content)
    kinds = {path: "link" if isinstance(body, str) else "file" for path, body in content.items()}
    entries = [
        TreeEntry(path, kinds[path], target=body if isinstance(body, str) else "")  # type: ignore[arg-type]
        for path, body in content.items()
    ]
    store = TreeStore(tmp_path)
    if complaint(entries):
        with pytest.raises(BadInput):
            store.put(name, chunks(tar))
        return
    store.put(name, chunks(tar))
    found = {path: body for path, body in on_disk(store.path(name)).items() if body is not None}
    assert found == content


def test_leftovers_of_a_killed_head_go_when_the_store_opens(tmp_path: Path) -> None:
    (tmp_path / ".tmp-dead/tree").mkdir(parents=True)
    TreeStore(tmp_path)
    assert os.listdir(tmp_path) == [".manifests"]


def test_what_is_dropped_from_a_cache() -> None:
    cached = [Cached("old", 10, 100.0), Cached("big", 80, 500.0), Cached("new", 30, 900.0)]
    limits = CacheLimits(max_bytes=100, max_age_s=700.0)
    assert to_drop(cached, frozenset(), limits, 1000.0) == ("old", "big")
    assert to_drop(cached, frozenset({"old"}), limits, 1000.0) == ("big",)
    assert to_drop(cached, frozenset({"big"}), limits, 1000.0) == ("old", "new")
    assert to_drop(cached, frozenset(), CacheLimits(1000, 1e6), 1000.0) == ()
