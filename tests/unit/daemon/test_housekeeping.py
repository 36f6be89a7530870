"""Which caches are trimmed, and what is kept."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

from immutables import Map

from beowulf.daemon.every import Every
from beowulf.daemon.housekeeping import LOG_BYTES, STAGED_S, WHOLE_S, Housekeeping, needed_on
from beowulf.model import event as ev
from beowulf.model.allocation import Allocation, RankSlot, Share
from beowulf.model.apply import apply
from beowulf.model.errors import Unclear
from beowulf.model.job import Environment, JobSpec, Mount, Tree
from beowulf.model.node import Endpoint, Facts, Node
from beowulf.model.snapshot import Snapshot
from beowulf.store import StoreError
from beowulf.sync.environment import environment_digest
from beowulf.sync.expiry import CacheLimits
from beowulf.sync.trees import TreeStore
from beowulf.sync.wheels import WheelHouse

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


def tidy(snapshot: Snapshot, stager: Remembering, folder: Path, now: float = 0.0) -> None:
    trees, wheels = TreeStore(folder / "trees"), WheelHouse(folder / "wheels")
    Housekeeping(lambda: snapshot, stager, trees, wheels, folder, folder / "log", lambda before: None).tidy(now)


def test_what_a_live_job_wants_is_needed() -> None:
    snapshot = cluster()
    environment = environment_digest(SPEC.environment, FACTS)
    assert needed_on(snapshot, snapshot.nodes["n2"]) == {"a" * 64, "b" * 64, environment}


class Bucket:
    def __init__(self, error: str = "") -> None:
        self.error, self.dropped = error, [0.0]

    def link(self, content: str, path: Path) -> str:
        raise AssertionError("nothing is brought there")

    def drop(self, before: float) -> int:
        if self.error:
            raise Unclear(self.error)
        self.dropped.append(before)
        return 1


def test_old_inputs_leave_every_bucket_that_answers(tmp_path: Path) -> None:
    buckets = (Bucket("no answer"), Bucket())
    trees, wheels = TreeStore(tmp_path / "trees"), WheelHouse(tmp_path / "wheels")
    tidying = Housekeeping(
        Snapshot, Remembering(), trees, wheels, tmp_path, tmp_path / "log", lambda before: None, depots=buckets
    )
    tidying.tidy(30 * 86400.0)
    assert buckets[1].dropped == [0.0, 30 * 86400.0 - STAGED_S]


def test_idle_nodes_are_trimmed_whatever_one_of_them_says(tmp_path: Path) -> None:
    snapshot, stager = cluster(), Remembering()
    tidy(snapshot, stager, tmp_path)
    assert set(stager.asked) == {"n2", "n3"}  # n1 is at work, n4 is down
    tidy(replace(snapshot, active=Map()), stager, tmp_path)
    assert stager.asked["n2"] == frozenset()


def test_nodes_are_trimmed_though_the_history_cannot_be_and_a_folder_makes_no_sense(tmp_path: Path) -> None:
    (tmp_path / "trees" / "somebody's").mkdir(parents=True)
    asked: list[float] = []

    def locked(before: float) -> None:
        asked.append(before)
        raise StoreError("another process keeps the database locked")

    stager = Remembering()
    trees, wheels = TreeStore(tmp_path / "trees"), WheelHouse(tmp_path / "w")
    Housekeeping(cluster, stager, trees, wheels, tmp_path, tmp_path / "log", locked).tidy(1e6)
    assert asked == [1e6 - WHOLE_S] and set(stager.asked) == {"n2", "n3"}


def test_wheels_that_nobody_asks_for_leave_the_head(tmp_path: Path) -> None:
    """A few gigabytes for every torch there ever was; those of a day stay, however many they are."""
    wheels, limits = WheelHouse(tmp_path / "wheels"), CacheLimits(max_bytes=5)
    for name, used_at in (("old", 0.0), ("older", -50 * 86400.0), ("yesterday", 9 * 86400.0), ("now", 10 * 86400.0)):
        (wheels.folder / "files" / name).mkdir()
        (wheels.folder / "files" / name / "x.whl").write_bytes(b"1234")
        os.utime(wheels.folder / "files" / name, (0.0, used_at))
    snapshot, trees = cluster(), TreeStore(tmp_path / "trees")
    log = tmp_path / "log"
    tidying = Housekeeping(lambda: snapshot, Remembering(), trees, wheels, tmp_path, log, lambda before: None, limits)
    tidying.tidy(10 * 86400.0 - 60.0)
    assert sorted(one.name for one in wheels.held()) == ["now", "yesterday"]
    tidying.tidy(10 * 86400.0 + 60.0)
    assert [one.name for one in wheels.held()] == ["now"]
    assert sorted(path.name for path in wheels.folder.iterdir()) == ["files", "lists"]


def test_checkpoints_of_jobs_that_will_not_go_on_leave_the_head_after_a_month(tmp_path: Path) -> None:
    for job, day in (("1", 0.0), ("2", 0.0), ("3", 20.0)):  # job 1 runs
        (tmp_path / job / "checkpoints" / "a").mkdir(parents=True)
        os.utime(tmp_path / job / "checkpoints", (0.0, day * 86400.0))
    tidy(cluster(), Remembering(), tmp_path, now=40 * 86400.0)
    assert sorted(path.parent.name for path in tmp_path.glob("*/checkpoints")) == ["1", "3"]
    assert (tmp_path / "2").is_dir()


def test_a_thread_that_fails_once_goes_on() -> None:
    done = threading.Semaphore(0)
    tries: list[int] = []

    def work() -> None:
        tries.append(len(tries))
        if len(tries) == 1:
            raise OSError("the disk does not answer")
        done.release()

    turns = Every(0.001, work, "turns")
    turns.start()
    assert done.acquire(timeout=60)
    turns.stop()


def test_the_heads_log_is_turned_under_its_writer(tmp_path: Path) -> None:
    log, before = tmp_path / "log", tmp_path / "log.1"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"early\n")
        tidy(Snapshot(), Remembering(), tmp_path)
        assert log.read_bytes() == b"early\n" and not before.exists()
        os.truncate(log, LOG_BYTES + 1)
        tidy(Snapshot(), Remembering(), tmp_path)
        writer.write(b"late\n")
    assert log.read_bytes() == b"late\n"
    assert before.stat().st_size == LOG_BYTES + 1 and before.open("rb").readline() == b"early\n"
