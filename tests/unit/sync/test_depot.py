"""Large files by way of a store near the nodes: HTTP servers stand for it, good ones and bad ones."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import Content, LocalNodes, on_disk, packed

from beowulf.agent import bulk_fetch
from beowulf.model.errors import Unclear
from beowulf.model.job import Environment, JobSpec, Tree
from beowulf.model.node import Node
from beowulf.sync.depot import LEAST_BYTES
from beowulf.sync.errors import StagingError
from beowulf.sync.progress import Progress
from beowulf.sync.stager import Stager
from beowulf.sync.trees import TreeStore
from beowulf.sync.wheels import WheelHouse

LARGE = bytes(range(256)) * (LEAST_BYTES // 256 + 1)


@dataclass
class HttpDepot:
    """Serves what it was given, and spoils it as told: ``breaks`` connections are cut after a third of the bytes."""

    breaks: int = 0
    wrong: bool = False
    gone: bool = False
    refuses: bool = False
    kept: dict[str, bytes] = field(default_factory=dict)
    uploads: int = 0
    downloads: int = 0

    def __post_init__(self) -> None:
        depot = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = depot.kept[self.path.lstrip("/").partition("?")[0]]
                found = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"])
                assert found is not None
                start, depot.downloads = int(found[1]), depot.downloads + 1
                self.send_response(404 if depot.gone else 206)
                self.end_headers()
                if depot.gone:
                    return
                part = content[start:]
                if depot.breaks:
                    depot.breaks -= 1
                    part = part[: len(part) // 3]
                self.wfile.write(bytes(len(part)) if depot.wrong else part)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def link(self, content: str, path: Path) -> str:
        if self.refuses:
            raise Unclear("the store is away")
        if content not in self.kept:
            self.kept[content] = path.read_bytes()
            self.uploads += 1
        return f"http://127.0.0.1:{self.server.server_address[1]}/{content}?signature=secret"


@pytest.fixture
def depot() -> Iterator[HttpDepot]:
    made = HttpDepot()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def store(tmp_path: Path) -> TreeStore:
    return TreeStore(tmp_path / "trees")


@pytest.fixture
def stager(tmp_path: Path, nodes: LocalNodes, store: TreeStore, depot: HttpDepot) -> Stager:
    return Stager(nodes, store, WheelHouse(tmp_path / "wheels"), depots={"aws:us-east-1": depot})


def rented(nodes: LocalNodes, name: str, site: str = "aws:us-east-1") -> Node:
    return replace(nodes.node(name), site=site)


def put(store: TreeStore, content: Content) -> Tree:
    name, tar = packed(content)
    store.put(name, [tar])
    return Tree(name, len(tar), len(content), "here")


CONTENT: Content = {"data": None, "data/large.bin": LARGE, "train.py": b"print(1)\n"}


def test_two_machines_fetch_what_went_up_once(
    nodes: LocalNodes, store: TreeStore, stager: Stager, depot: HttpDepot
) -> None:
    tree = put(store, CONTENT)
    heard: list[Progress] = []
    for name in ("m1", "m2"):
        node = rented(nodes, name)
        stager.stage(node, JobSpec("j", "true", workdir=tree), report=heard.append)
        assert on_disk(Path(node.root) / "trees" / tree.digest) == CONTENT
    assert (depot.uploads, depot.downloads) == (1, 2)
    assert list(depot.kept.values()) == [LARGE]  # small files went over the line
    assert nodes.written < LEAST_BYTES // 4
    assert heard[-1].done_bytes == heard[-1].total_bytes


def test_nodes_of_the_lab_get_everything_over_the_line(
    nodes: LocalNodes, store: TreeStore, stager: Stager, depot: HttpDepot
) -> None:
    node, tree = rented(nodes, "n1", site="lab"), put(store, CONTENT)
    stager.stage(node, JobSpec("j", "true", workdir=tree))
    assert on_disk(Path(node.root) / "trees" / tree.digest) == CONTENT
    assert depot.uploads == 0


def test_a_broken_download_goes_on_where_it_broke(
    nodes: LocalNodes, store: TreeStore, stager: Stager, depot: HttpDepot
) -> None:
    depot.breaks = 2
    node, tree = rented(nodes, "m1"), put(store, CONTENT)
    stager.stage(node, JobSpec("j", "true", workdir=tree))
    assert on_disk(Path(node.root) / "trees" / tree.digest) == CONTENT
    assert depot.downloads == 3
    assert nodes.written < LEAST_BYTES // 4


@pytest.mark.parametrize("fault", ["wrong", "gone", "refuses"])
def test_what_the_depot_does_not_give_comes_over_the_line(
    nodes: LocalNodes, store: TreeStore, stager: Stager, depot: HttpDepot, fault: str
) -> None:
    setattr(depot, fault, True)
    node, tree = rented(nodes, "m1"), put(store, CONTENT)
    stager.stage(node, JobSpec("j", "true", workdir=tree))
    assert on_disk(Path(node.root) / "trees" / tree.digest) == CONTENT


def test_the_signed_address_is_in_no_error(nodes: LocalNodes, depot: HttpDepot, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    depot.gone = True
    with pytest.raises(ValueError) as caught:
        list(bulk_fetch.fetched(depot.link("abc", tmp_path / "file"), 1))
    assert "secret" not in str(caught.value) and "404" in str(caught.value)


def test_a_job_whose_environment_cannot_be_had_fails_with_that_reason(
    nodes: LocalNodes, store: TreeStore, stager: Stager
) -> None:
    spec = JobSpec("j", "true", workdir=put(store, CONTENT), environment=Environment(venv="/nowhere/venv"))
    with pytest.raises(StagingError, match="/nowhere/venv"):
        stager.stage(rented(nodes, "m1"), spec)
