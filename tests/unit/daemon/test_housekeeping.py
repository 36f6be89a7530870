"""Which caches are trimmed, and what is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from immutables import Map

from beowulf.daemon.housekeeping import Housekeeping, needed_on
from beowulf.model import event as ev
from beowulf.model.allocation import Allocation, RankSlot, Share
from beowulf.model.apply import apply
from beowulf.model.job import Environment, JobSpec, Mount, Tree
from beowulf.model.node import Endpoint, Facts, Node
from beowulf.model.snapshot import Snapshot
from beowulf.sync.environment import environment_digest
from beowulf.sync.expiry import CacheLimits
from beowulf.sync.trees import TreeStore

FACTS = Facts(arch="x86_64", glibc="2.36", pythons=("3.11.2 /usr/bin/python3",))
SPEC = JobSpec(
    "j",
    "true",
    workdir=Tree("a" * 64, 1, 1, "w"),
    mounts=(Mount("data", Tree("b" * 64, 1, 1, "d")),),
    environment=Environment(requirements=("numpy",)),
)


class Remembering:
    def __init__(self) -> None:
        self.asked: dict[str, frozenset[str]] = {}

    def trim(self, node: Node, needed: frozenset[str], limits: CacheLimits, now: float) -> int:
        self.asked[node.id] = needed
        if node.id == "n3":
            raise OSError("it went away")
        return 1


def cluster() -> Snapshot:
    snapshot = Snapshot()
    for name in ("n1", "n2", "n3", "n4"):
        snapshot = apply(snapshot, ev.NodeAdded(0.0, name, Endpoint(name), "key"))
        snapshot = apply(snapshot, ev.NodeUp(0.0, name, "/r", FACTS))
    snapshot = apply(snapshot, ev.NodeDown(0.0, "n4", "off"))
    snapshot = apply(snapshot, ev.JobSubmitted(0.0, "1", 1, SPEC, "me", 1))
    share = Share("n1", (RankSlot(0, 0, (0,)),))
    return apply(snapshot, ev.JobPlaced(0.0, "1", 1, Allocation((share,))))


def test_what_a_live_job_wants_is_needed() -> None:
    snapshot = cluster()
    environment = environment_digest(SPEC.environment, FACTS)
    assert needed_on(snapshot, snapshot.nodes["n2"]) == {"a" * 64, "b" * 64, environment}


def test_idle_nodes_are_trimmed_whatever_one_of_them_says(tmp_path: Path) -> None:
    snapshot, stager = cluster(), Remembering()
    Housekeeping(lambda: snapshot, stager, TreeStore(tmp_path)).tidy(0.0)
    assert set(stager.asked) == {"n2", "n3"}  # n1 is at work, n4 is down
    stager.asked.clear()
    (tmp_path / ("c" * 64)).mkdir()  # a tree without its manifest, as a power cut may leave it
    Housekeeping(lambda: snapshot, stager, TreeStore(tmp_path)).tidy(0.0)
    assert set(stager.asked) == {"n2", "n3"}
    ended = replace(snapshot, active=Map())
    Housekeeping(lambda: ended, stager, TreeStore(tmp_path)).tidy(0.0)
    assert stager.asked["n2"] == frozenset()
