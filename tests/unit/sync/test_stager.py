from __future__ import annotations

import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import Content, LocalNodes, on_disk, packed

from beowulf.model.job import Environment, JobSpec, Mount, Tree
from beowulf.model.node import Facts, Node
from beowulf.sync.cancel import Cancellation
from beowulf.sync.errors import Cancelled, StagingError
from beowulf.sync.expiry import CacheLimits
from beowulf.sync.progress import Progress
from beowulf.sync.stager import PlacedTree, Stager
from beowulf.sync.trees import TreeStore
from beowulf.sync.wheels import WheelHouse


@pytest.fixture
def store(tmp_path: Path) -> TreeStore:
    return TreeStore(tmp_path / "trees")


@pytest.fixture
def stager(tmp_path: Path, nodes: LocalNodes, store: TreeStore) -> Stager:
    return Stager(nodes, store, WheelHouse(tmp_path / "wheels"), outputs_limit_bytes=1_000_000)


def put(store: TreeStore, content: Content) -> Tree:
    name, tar = packed(content)
    store.put(name, [tar])
    return Tree(name, len(tar), len(content), "here")


def job(tree: Tree, *mounts: Mount) -> JobSpec:
    return JobSpec("j", "true", workdir=tree, mounts=mounts)


def on_node(node: Node, tree: Tree) -> Content:
    return on_disk(Path(node.root) / "trees" / tree.digest)


def tidy(node: Node) -> bool:
    return os.listdir(Path(node.root) / "tmp") == []


def files(count: int, seed: int = 0) -> Content:
    luck = random.Random(seed)
    return {f"pkg{index % 7}/f{index}.py": luck.randbytes(500 + index) for index in range(count)}


def test_a_tree_arrives_whole_and_does_not_travel_again(nodes: LocalNodes, store: TreeStore, stager: Stager) -> None:
    content: Content = {
        "a": b"x",
        "same": b"x",
        "d": None,
        "e/l": "../a",
        "big": random.Random(3).randbytes(600_000),
        "empty": b"",
    }
    tree, data = put(store, content), put(store, {"set.csv": b"1,2"})
    node, heard = nodes.node(), list[Progress]()
    staged = stager.stage(node, job(tree, Mount("~/data", data)), report=heard.append)
    assert staged.trees == (PlacedTree(tree.digest, "."), PlacedTree(data.digest, "~/data"))
    assert staged.environment == ""
    assert on_node(node, tree) == {**content, "e": None} and on_node(node, data) == {"set.csv": b"1,2"}
    assert heard[-2].done_bytes == heard[-2].total_bytes > 600_000 and tidy(node)
    assert {one.file for one in heard} >= {"big", "set.csv"} and not any(one.home for one in heard)
    before = nodes.written
    stager.stage(node, job(tree))
    assert nodes.written - before < 500


def test_only_changed_content_travels(nodes: LocalNodes, store: TreeStore, stager: Stager) -> None:
    content = files(200)
    node = nodes.node()
    stager.stage(node, job(put(store, content)))
    changed: Content = {**content, "pkg0/f0.py": b"changed", "moved/f1.py": content.pop("pkg1/f1.py")}
    changed.pop("pkg1/f1.py")
    tree = put(store, changed)
    first, before = nodes.channels[0].written, nodes.written
    stager.stage(node, job(tree))
    found = {path: body for path, body in on_node(node, tree).items() if body is not None}
    assert found == changed
    assert nodes.written - before < first / 3  # the manifest, mostly


def test_a_line_appended_to_a_large_file_costs_a_block(nodes: LocalNodes, store: TreeStore, stager: Stager) -> None:
    large = random.Random(5).randbytes(6_000_000)
    node = nodes.node()
    stager.stage(node, job(put(store, {"log": large})))
    before = nodes.written
    tree = put(store, {"log": large + b"one more line\n"})
    stager.stage(node, job(tree))
    assert on_node(node, tree) == {"log": large + b"one more line\n"}
    assert nodes.written - before < 300_000


def test_a_cached_file_that_was_spoilt_is_not_used(nodes: LocalNodes, store: TreeStore, stager: Stager) -> None:
    node = nodes.node()
    old = put(store, {"a": b"good", "b": b"other"})
    stager.stage(node, job(old))
    (Path(node.root) / "trees" / old.digest / "a").write_bytes(b"evil")
    tree = put(store, {"a": b"good", "c": b"new"})
    stager.stage(node, job(tree))
    assert on_node(node, tree) == {"a": b"good", "c": b"new"}


def test_a_file_damaged_on_the_head_is_not_passed_on(nodes: LocalNodes, store: TreeStore, stager: Stager) -> None:
    tree = put(store, {"a": b"good"})
    (store.path(tree.digest) / "a").write_bytes(b"evil")
    node = nodes.node()
    with pytest.raises(StagingError, match="n1: a: its content is not what was submitted"):
        stager.stage(node, job(tree))
    assert on_node(node, tree) == {} and tidy(node)


def test_a_power_cut_at_any_byte_leaves_nothing_half_done(nodes: LocalNodes, store: TreeStore, stager: Stager) -> None:
    tree = put(store, files(40))
    whole = nodes.node("whole")
    stager.stage(whole, job(tree))
    total = nodes.written
    node = nodes.node()
    for part in range(1, 9):
        nodes.limit = total * part // 9
        with pytest.raises(StagingError, match="n1: the transfer broke off"):
            stager.stage(node, job(tree))
        assert not (Path(node.root) / "trees" / tree.digest).exists()
    nodes.limit = 0
    stager.stage(node, job(tree))
    assert on_node(node, tree) == on_node(whole, tree) and tidy(node)


def test_two_jobs_with_one_tree_send_it_once(nodes: LocalNodes, store: TreeStore, stager: Stager) -> None:
    tree = put(store, {"a": random.Random(1).randbytes(2_000_000)})
    node = nodes.node()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: stager.stage(node, job(tree)), range(4)))
    assert len(on_node(node, tree)) == 1 and nodes.written < 2_100_000 and tidy(node)


def test_two_heads_threads_without_a_common_lock_do_not_collide(
    tmp_path: Path, nodes: LocalNodes, store: TreeStore
) -> None:
    tree = put(store, {"a": random.Random(1).randbytes(2_000_000), "b": b"x"})
    node = nodes.node()
    stagers = [Stager(nodes, store, WheelHouse(tmp_path / "wheels")) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda stager: stager.stage(node, job(tree)), stagers))
    assert len(on_node(node, tree)) == 2 and tidy(node)


def test_cancelling_ends_a_transfer_and_the_wait_for_one(nodes: LocalNodes, store: TreeStore, stager: Stager) -> None:
    tree = put(store, {"a": random.Random(1).randbytes(4_000_000)})
    node = nodes.node()
    started, go_on = threading.Event(), threading.Event()

    def hold(_: Progress) -> None:
        started.set()
        go_on.wait(120)

    first, second = Cancellation(), Cancellation()
    with ThreadPoolExecutor(2) as pool:
        sending = pool.submit(stager.stage, node, job(tree), report=hold, cancellation=first)
        assert started.wait(120)
        waiting = pool.submit(stager.stage, node, job(tree), cancellation=second)
        second.cancel()
        with pytest.raises(Cancelled):
            waiting.result(120)
        first.cancel()
        go_on.set()
        with pytest.raises(Cancelled):
            sending.result(120)
    assert on_node(node, tree) == {}
    stager.stage(node, job(tree))
    assert len(on_node(node, tree)) == 1 and tidy(node)


def test_a_venv_is_looked_at_and_a_missing_one_named(tmp_path: Path, nodes: LocalNodes, stager: Stager) -> None:
    node = nodes.node()
    stager.stage(node, JobSpec("j", "true", environment=Environment(venv=os.path.dirname(os.path.dirname(_python())))))
    with pytest.raises(StagingError, match=r"n1: env.venv /no/where cannot be used: there is no /no/where/bin/python"):
        stager.stage(node, JobSpec("j", "true", environment=Environment(venv="/no/where")))


def _python() -> str:
    import sys

    return sys.executable


def test_a_python_the_node_lacks_is_said_before_anything_is_done(nodes: LocalNodes, stager: Stager) -> None:
    node = nodes.node(facts=Facts(pythons=("3.6.8 /usr/bin/python3",)))
    spec = JobSpec("j", "true", environment=Environment(python="3.11", requirements=("numpy",)))
    with pytest.raises(
        StagingError, match=r"n1: no environment for the job: the job asks for Python 3\.11, it has 3\.6\.8"
    ):
        stager.stage(node, spec)
    assert nodes.channels == []


def work_folder(node: Node, tag: str) -> Path:
    work = Path(node.root) / "attempts" / tag / "work"
    work.mkdir(parents=True)
    return work


def test_outputs_come_home_over_older_ones(tmp_path: Path, nodes: LocalNodes, stager: Stager) -> None:
    node, into = nodes.node(), tmp_path / "jobs/17/outputs"
    work = work_folder(node, "17.1")
    (work / "out/deep").mkdir(parents=True)
    (work / "out/deep/model").write_bytes(random.Random(2).randbytes(700_000))
    (work / "out/run.sh").write_bytes(b"#!/bin/sh")
    (work / "out/run.sh").chmod(0o755)
    (work / "out/latest").symlink_to("deep/model")
    (work / "out/absolute").symlink_to(work / "out/run.sh")
    (work / "out/secret").symlink_to("/etc/passwd")
    os.mkfifo(work / "out/pipe")
    (work / "log").write_bytes(b"new")
    into.mkdir(parents=True)
    (into / "log").write_bytes(b"old")
    (into / "kept").write_bytes(b"kept")
    (into.parent / ".tmp-dead" / "half").mkdir(parents=True)  # of a head that was killed in the middle
    found = stager.collect(node, "17.1", ("out", "log", "nothing", "../../..", "/etc/hostname"), into)
    assert found.files == 4 and found.missing == ("nothing",) and len(found.skipped) == 4
    assert on_disk(into) == {
        "kept": b"kept",
        "log": b"new",
        "out": None,
        "out/absolute": b"#!/bin/sh",
        "out/deep": None,
        "out/deep/model": (work / "out/deep/model").read_bytes(),
        "out/latest": "deep/model",
        "out/run.sh": b"#!/bin/sh",
    }
    assert os.access(into / "out/run.sh", os.X_OK)
    assert sorted(os.listdir(into.parent)) == ["outputs"]


def test_outputs_over_the_limit_stay_and_say_so(tmp_path: Path, nodes: LocalNodes, stager: Stager) -> None:
    node = nodes.node()
    with (work_folder(node, "1.1") / "huge").open("wb") as file:
        file.truncate(2_000_000)
    with pytest.raises(StagingError, match="n1: the outputs hold 2000000 bytes, the limit is 1000000"):
        stager.collect(node, "1.1", (".",), tmp_path / "outputs")
    assert not (tmp_path / "outputs").exists()


def test_what_comes_home_is_told_before_and_may_be_refused(tmp_path: Path, nodes: LocalNodes, store: TreeStore) -> None:
    asked: list[tuple[str, int]] = []

    def admit(node: str, size_bytes: int) -> None:
        asked.append((node, size_bytes))
        if size_bytes > 1000:
            raise StagingError("n1: too dear")

    stager = Stager(nodes, store, WheelHouse(tmp_path / "wheels"), admit=admit)
    node = nodes.node()
    work = work_folder(node, "1.1")
    (work / "small").write_bytes(b"x" * 1000)
    (work / "large").write_bytes(b"x" * 5000)
    with pytest.raises(StagingError, match="too dear"):
        stager.collect(node, "1.1", ("large",), tmp_path / "outputs")
    assert not (tmp_path / "outputs").exists()
    assert stager.collect(node, "1.1", ("small",), tmp_path / "outputs").size_bytes == 1000
    assert asked == [(node.id, 5000), (node.id, 1000)]


def test_caches_of_a_node_are_trimmed(nodes: LocalNodes, store: TreeStore, stager: Stager) -> None:
    node = nodes.node()
    trees = [put(store, {"a": bytes([index]) * 1000}) for index in range(3)]
    for age, tree in enumerate(trees):
        stager.stage(node, job(tree))
        os.utime(Path(node.root) / "trees" / tree.digest, (1000 + age, 1000 + age))
    assert stager.trim(node, frozenset({trees[0].digest}), CacheLimits(2000, 1e9), 2000.0) == 1
    assert [bool(on_node(node, tree)) for tree in trees] == [True, False, True]
    assert len(os.listdir(Path(node.root) / "trees/.manifests")) == 2
