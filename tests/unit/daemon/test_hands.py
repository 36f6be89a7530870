"""What the head's hands make of actions that the rest of their turn has overtaken."""

from __future__ import annotations

import queue
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from beowulf.controller.draft import Collect, Connect, Drop, Expect, Stage, StopStaging
from beowulf.controller.logs import LogFiles
from beowulf.daemon.clouds import Clouds
from beowulf.daemon.hands import STAGING_THREADS, WorkingHands
from beowulf.daemon.home import Home
from beowulf.daemon.transfers import Transfers
from beowulf.model import event as ev
from beowulf.model.apply import apply
from beowulf.model.job import JobSpec
from beowulf.model.node import Endpoint
from beowulf.model.renting import Renting
from beowulf.model.snapshot import Snapshot
from beowulf.sync.cancel import Cancellation
from beowulf.sync.errors import Interrupted, StagingError


class Fleet:
    def __init__(self) -> None:
        self.told: list[str] = []

    def connect(self, node: str, *_: Any, boots: bool) -> None:
        self.told.append(f"connect {node}")

    def drop(self, node: str) -> None:
        self.told.append(f"drop {node}")


def test_a_node_added_and_removed_in_one_turn_is_not_called() -> None:
    fleet, nothing = Fleet(), cast(Any, None)
    hands = WorkingHands(nothing, cast(Any, fleet), nothing, nothing, nothing, nothing, nothing, nothing)
    hands.perform([Connect("n1"), Drop("n1")], Snapshot())
    assert fleet.told == ["drop n1"]


class Files:
    """A stager whose nodes take for ever, until they are told to stop; or that fails as it is told to."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.began, self.ended = threading.Semaphore(0), threading.Semaphore(0)

    def stage(self, node: Any, spec: JobSpec, *, cancellation: Cancellation, **_: Any) -> None:
        stopped = threading.Event()
        with cancellation.interrupting(stopped.set):
            self.began.release()
            stopped.wait()
        self.ended.release()

    def collect(self, node: Any, *_: Any, **__: Any) -> None:
        if self.failures:
            raise self.failures.pop(0)


def a_gang(nodes: int) -> Snapshot:
    snapshot = apply(Snapshot(), ev.JobSubmitted(0.0, "1", 1, JobSpec("j", "true", outputs=("o",)), "me", 1))
    for number in range(nodes):
        snapshot = apply(snapshot, ev.NodeAdded(0.0, f"n{number}", Endpoint(f"n{number}"), "key"))
    return snapshot


def hands_with(folder: Path, files: Files, posted: queue.SimpleQueue[Any]) -> WorkingHands:
    nothing = cast(Any, None)
    fleet, logs = cast(Any, Fleet()), LogFiles(folder, lambda *_: None, lambda *_: None)
    clouds = Clouds(Renting(), "lab", folder, "", posted.put)
    return WorkingHands(Home(folder), fleet, cast(Any, files), logs, posted.put, Transfers(), nothing, clouds)


def test_a_cancel_reaches_transfers_that_keep_every_thread_busy(tmp_path: Path) -> None:
    files, snapshot = Files(), a_gang(STAGING_THREADS + 4)
    hands = hands_with(tmp_path, files, queue.SimpleQueue())
    hands.perform([Stage(node, "1.1") for node in snapshot.nodes], snapshot)
    for _ in range(STAGING_THREADS):
        assert files.began.acquire(timeout=60)
    hands.perform([StopStaging("1.1")], snapshot)
    for _ in range(STAGING_THREADS):
        assert files.ended.acquire(timeout=60)
    hands.close()


@pytest.mark.parametrize(
    ("failures", "passing"),
    [
        ((), False),
        ((Interrupted("n0: the transfer broke off"),), True),
        ((OSError(28, "No space left on device"), StagingError("n1: refused")), True),
        ((StagingError("n0: more than was asked for"),), False),
    ],
)
def test_what_may_go_better_later_is_told_apart(tmp_path: Path, failures: tuple[Exception, ...], passing: bool) -> None:
    posted: queue.SimpleQueue[Any] = queue.SimpleQueue()
    snapshot = a_gang(2)
    hands = hands_with(tmp_path, Files(*failures), posted)
    hands.perform([Collect("1.1", ("n0", "n1"))], snapshot)
    said = posted.get(timeout=60)
    assert (said.tag, bool(said.error), said.passing) == ("1.1", bool(failures), passing)
    hands.close()


def test_what_cannot_be_done_keeps_nothing_else_from_being_done(tmp_path: Path) -> None:
    """It is committed: the controller must not take it for undone, and a head must not end for one log file."""
    fleet, nothing = Fleet(), cast(Any, None)
    logs = LogFiles(tmp_path, lambda *_: None, lambda *_: None)
    hands = WorkingHands(nothing, cast(Any, fleet), nothing, logs, nothing, nothing, nothing, nothing)
    hands.perform([Expect("n1", "1.1", {"../x": 3}), Drop("n2")], Snapshot())
    assert fleet.told == ["drop n2"]
