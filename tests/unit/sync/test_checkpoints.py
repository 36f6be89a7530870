"""A gang's newest checkpoint comes to the head whole, and goes to the next nodes, by the real bulk program."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import LocalNodes

from beowulf.model.job import Checkpoint, Checkpointing, JobSpec
from beowulf.model.node import Node
from beowulf.sync.checkpoints import Brought
from beowulf.sync.errors import StagingError
from beowulf.sync.stager import PlacedTree, Resume, Stager
from beowulf.sync.trees import TreeStore
from beowulf.sync.wheels import WheelHouse
from beowulf.train import checkpoint_files as files

TAG = "7.1"


@pytest.fixture
def store(tmp_path: Path) -> TreeStore:
    return TreeStore(tmp_path / "head" / "checkpoints")


@pytest.fixture
def stager(tmp_path: Path, nodes: LocalNodes) -> Stager:
    return Stager(nodes, TreeStore(tmp_path / "head" / "trees"), WheelHouse(tmp_path / "head" / "wheels"))


def folder(node: Node) -> Path:
    made = Path(node.root) / "attempts" / TAG / "work" / "ckpt"
    made.mkdir(parents=True, exist_ok=True)
    return made


def save(node: Node, *steps: int) -> None:
    for step in steps:
        content = f"{node.id} at {step}".encode()
        files.write(str(folder(node)), step, {}, lambda path, content=content: Path(path).write_bytes(content))  # type: ignore[misc]


def bring(stager: Stager, nodes: list[Node], store: TreeStore, newer_than: int = -1) -> Brought | None:
    return stager.collect_checkpoint(nodes, TAG, "ckpt", store, newer_than=newer_than)


def test_the_newest_of_the_gang_comes_home(nodes: LocalNodes, stager: Stager, store: TreeStore) -> None:
    gang = [nodes.node(name) for name in ("n1", "n2", "n3")]
    save(gang[0], 10, 20)
    save(gang[1], 10, 20, 25)
    brought = bring(stager, gang, store)
    assert brought is not None and (brought.node, brought.step) == ("n2", 25)
    kept = store.path(brought.tree.digest) / "step-000000025" / files.STATE
    assert kept.read_bytes() == b"n2 at 25"
    assert [entry.path for entry in store.entries(brought.tree.digest) if entry.kind == "file"] == [
        "step-000000025/manifest.json",
        "step-000000025/state.pt",
    ]
    assert bring(stager, gang, store, newer_than=25) is None


def test_a_broken_one_is_left_for_the_next_best(nodes: LocalNodes, stager: Stager, store: TreeStore) -> None:
    gang = [nodes.node(name) for name in ("n1", "n2")]
    save(gang[0], 20)
    save(gang[1], 25)
    state = folder(gang[1]) / "step-000000025" / files.STATE
    state.write_bytes(state.read_bytes()[:-1])
    brought = bring(stager, gang, store)
    assert brought is not None and (brought.node, brought.step) == ("n1", 20)
    assert len(store.held()) == 1
    with pytest.raises(StagingError, match=r"n2: the checkpoint ckpt/step-000000025 is not whole: state.pt differs"):
        bring(stager, gang[1:], store)


def test_a_node_that_is_away_does_not_matter(nodes: LocalNodes, stager: Stager, store: TreeStore) -> None:
    here, away = nodes.node("n1"), nodes.node("n2")
    save(here, 20)
    save(away, 25)
    gone = replace(away, root="/proc/none")
    brought = bring(stager, [gone, here], store)
    assert brought is not None and brought.node == "n1"
    assert bring(stager, [nodes.node("n3")], store) is None


def test_a_folder_of_another_making_comes_whole(nodes: LocalNodes, stager: Stager, store: TreeStore) -> None:
    node = nodes.node("n1")
    (folder(node) / "last.ckpt").write_bytes(b"weights")
    (folder(node) / "more").mkdir()
    (folder(node) / "more" / "notes.json").write_text(json.dumps({"step": 3}))
    brought = bring(stager, [node], store)
    assert brought is not None and brought.step == 0
    assert (store.path(brought.tree.digest) / "last.ckpt").read_bytes() == b"weights"
    assert (store.path(brought.tree.digest) / "more" / "notes.json").exists()


def test_it_goes_to_the_next_node(nodes: LocalNodes, stager: Stager, store: TreeStore) -> None:
    first, second = nodes.node("n1"), nodes.node("n2")
    save(first, 20)
    brought = bring(stager, [first], store)
    assert brought is not None
    kept = Checkpoint(1, "n1", 20, brought.tree, 0.0)
    spec = JobSpec("job", "true", checkpoint=Checkpointing("ckpt"))
    staged = stager.stage(second, spec, resume=Resume(kept, store))
    assert staged.trees == (PlacedTree(brought.tree.digest, "ckpt"),)
    cached = Path(second.root) / "trees" / brought.tree.digest
    found = files.newest(str(cached))
    assert found is not None and found.step == 20


def test_links_out_of_the_folder_are_not_followed(nodes: LocalNodes, stager: Stager, store: TreeStore) -> None:
    node = nodes.node("n1")
    secret = Path(node.root).parent / "secret"
    secret.mkdir()
    (secret / "key").write_text("x")
    work = folder(node).parent
    shutil.rmtree(work / "ckpt")
    (work / "ckpt").symlink_to(secret)
    assert bring(stager, [node], store) is None
