"""Staging through the real transport and the real bootstrap: sshd on loopback, and a node without SSH."""

from __future__ import annotations

import hashlib
import io
import os
import random
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from transport_sshd import Ground, Watcher

from beowulf.model.job import JobSpec, Tree
from beowulf.model.node import Endpoint, Node
from beowulf.model.tree import TreeEntry, digest
from beowulf.sync.errors import StagingError
from beowulf.sync.opening import over
from beowulf.sync.progress import Progress
from beowulf.sync.stager import Stager
from beowulf.sync.trees import TreeStore
from beowulf.sync.wheels import WheelHouse
from beowulf.transport import LinkUp

pytestmark = pytest.mark.cluster


@dataclass
class Staging:
    stager: Stager
    store: TreeStore
    node: Node
    ground: Ground

    def put(self, body: bytes) -> JobSpec:
        entry = TreeEntry("data", "file", False, hashlib.sha256(body).hexdigest(), size=len(body))
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            info = tarfile.TarInfo("data")
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
        name = digest([entry])
        self.store.put(name, [buffer.getvalue()])
        return JobSpec("j", "true", workdir=Tree(name, len(body), 1, "here"))

    def on_node(self, spec: JobSpec) -> Path:
        assert spec.workdir
        return Path(self.node.root) / "trees" / spec.workdir.digest / "data"


@pytest.fixture(params=["ssh", "local"])
def staging(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Staging]:
    ground, watcher = Ground(tmp_path / "ground"), Watcher()
    try:
        fleet = ground.fleet(watcher)
        endpoint, key = Endpoint("localhost", local=True), ""
        if request.param == "ssh":
            server = ground.sshd()
            endpoint, key = server.endpoint, server.host_key
        fleet.connect("n1", endpoint, key, 1)
        watcher.wait_for(LinkUp)
        root = tmp_path / "node"
        root.mkdir()
        store = TreeStore(tmp_path / "trees")
        stager = Stager(over(fleet), store, WheelHouse(tmp_path / "wheels"))
        yield Staging(stager, store, Node("n1", endpoint, 1, host_key=key, root=str(root)), ground)
    finally:
        ground.close()


def test_a_tree_goes_and_its_outputs_come_back(staging: Staging, tmp_path: Path) -> None:
    body = random.Random(1).randbytes(5_000_000)
    spec = staging.put(body)
    staging.stager.stage(staging.node, spec)
    assert staging.on_node(spec).read_bytes() == body
    longer = staging.put(body + b"one more line\n")
    staging.stager.stage(staging.node, longer)
    assert staging.on_node(longer).read_bytes() == body + b"one more line\n"
    work = Path(staging.node.root) / "attempts/1.1/work"
    work.mkdir(parents=True)
    (work / "model").write_bytes(body)
    found = staging.stager.collect(staging.node, "1.1", ("model", "log"), tmp_path / "outputs")
    assert (found.files, found.size_bytes, found.missing) == (1, len(body), ("log",))
    assert (tmp_path / "outputs/model").read_bytes() == body
    assert os.listdir(Path(staging.node.root) / "tmp") == []


@pytest.mark.parametrize("staging", ["ssh"], indirect=True)  # a pipe has no connection to break
def test_a_node_without_a_link_and_one_that_breaks_off_are_told_apart(staging: Staging) -> None:
    spec = staging.put(random.Random(1).randbytes(30_000_000))
    breaking = threading.Event()

    def break_off(_: Progress) -> None:
        if not breaking.is_set():
            breaking.set()
            staging.ground.closing[1]()  # the sshd, with its connections

    with pytest.raises(StagingError, match="n1: the transfer broke off: the connection to n1 broke during a transfer"):
        staging.stager.stage(staging.node, spec, report=break_off)
    assert not staging.on_node(spec).exists()
    with pytest.raises(StagingError, match="n2: no channel for files: no node n2 here"):
        staging.stager.stage(replace(staging.node, id="n2"), spec)
