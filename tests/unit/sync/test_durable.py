"""What the head has acknowledged, or a node may forget, is on the disk; and no list takes all memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import LocalNodes, packed

from beowulf.sync import durable
from beowulf.sync.errors import StagingError
from beowulf.sync.stager import Stager
from beowulf.sync.trees import TreeStore
from beowulf.sync.wheels import WheelHouse


@pytest.fixture
def store(tmp_path: Path) -> TreeStore:
    return TreeStore(tmp_path / "trees")


@pytest.fixture
def stager(tmp_path: Path, nodes: LocalNodes, store: TreeStore) -> Stager:
    return Stager(nodes, store, WheelHouse(tmp_path / "wheels"))


class Flushed:
    """Which files and folders were flushed, and which names were given: in this order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[tuple[str, str]] = []
        flush, rename, replace_file = os.fsync, os.rename, os.replace

        def flushing(descriptor: int) -> None:
            flush(descriptor)
            self.seen.append(("flushed", os.readlink(f"/proc/self/fd/{descriptor}")))

        def naming(give: Callable[..., None]) -> Callable[..., None]:
            def named(source: Path, target: Path) -> None:
                give(source, target)
                self.seen.append(("named", str(target)))

            return named

        monkeypatch.setattr(os, "fsync", flushing)
        monkeypatch.setattr(os, "rename", naming(rename))
        monkeypatch.setattr(os, "replace", naming(replace_file))

    def flushed(self, name: str) -> int:
        """When something that ends so was flushed last."""
        return max(place for place, (what, path) in enumerate(self.seen) if what == "flushed" and path.endswith(name))

    def named(self, path: Path) -> int:
        return self.seen.index(("named", str(path)))


def test_a_submitted_folder_is_on_the_disk_before_it_is_acknowledged(
    store: TreeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Flushed(monkeypatch)
    name, tar = packed({"a": b"1", "d": None, "d/b": b"2"})
    store.put(name, [tar])
    named = seen.named(store.folder / name)
    assert max(seen.flushed("/tree/a"), seen.flushed("/tree/d/b"), seen.flushed("/manifest")) < named
    assert named < seen.flushed(str(store.folder))


@pytest.mark.parametrize("few", [64, 0])
def test_outputs_are_on_the_disk_before_the_node_forgets_them(
    tmp_path: Path, nodes: LocalNodes, stager: Stager, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    node, into = nodes.node(), tmp_path / "jobs/17/outputs"
    work = Path(node.root) / "attempts/17.1/work"
    (work / "new/deep").mkdir(parents=True)
    (work / "new/deep/model.pt").write_bytes(b"weights")
    seen = Flushed(monkeypatch)
    monkeypatch.setattr(durable, "FEW", few)
    stager.collect(node, "17.1", ("new",), into)
    assert (into / "new/deep/model.pt").read_bytes() == b"weights"
    if few:
        named = seen.named(into / "new/deep/model.pt")
        assert seen.flushed("/new/deep/model.pt") < named
        assert all(named < seen.flushed(name) for name in ("outputs/new/deep", "outputs/new", "outputs", "jobs/17"))


def test_a_list_without_an_end_is_not_read_to_its_end(
    tmp_path: Path, nodes: LocalNodes, stager: Stager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("beowulf.sync.session.LIST_BYTES", 20_000)
    node = nodes.node()
    work = Path(node.root) / "attempts/1.1/work"
    work.mkdir(parents=True)
    for number in range(1000):
        (work / f"empty-{number}").touch()
    with pytest.raises(StagingError, match="n1: the list of what lies there is over"):
        stager.collect(node, "1.1", (".",), tmp_path / "outputs")
    assert not (tmp_path / "outputs").exists()
