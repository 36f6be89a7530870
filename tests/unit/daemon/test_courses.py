"""Courses of attempts: sampled while they run, written, and gone on with by the next head."""

from __future__ import annotations

from pathlib import Path

from beowulf.daemon.courses import WRITE_EVERY_S, Courses
from beowulf.model import event as ev
from beowulf.model.allocation import Allocation, RankSlot, Share
from beowulf.model.apply import apply
from beowulf.model.job import JobSpec, Result
from beowulf.model.node import Endpoint, Facts
from beowulf.model.snapshot import Snapshot
from beowulf.probe import Load

GANG = Allocation((Share("n1", (RankSlot(0, 0, (0,)),)),))


class Cluster:
    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.loads: dict[str, Load] = {}
        self.happen(ev.NodeAdded(1.0, "n1", Endpoint("n1"), "key"))
        self.happen(ev.NodeUp(1.0, "n1", "/root", Facts(cpus=(0,), memory_mib=1024)))
        self.happen(ev.JobSubmitted(2.0, "1", 1, JobSpec("x", "true"), "ann", 1000))
        self.happen(ev.JobPlaced(3.0, "1", 1, GANG))

    def happen(self, event: ev.Event) -> None:
        self.snapshot = apply(self.snapshot, event)

    def runs(self, at: float) -> None:
        self.happen(ev.AttemptLaunched(at, "1", 1, 0))
        self.happen(ev.ShareStarted(at, "1", 1, "n1"))

    def courses(self, folder: Path) -> Courses:
        place = lambda job, attempt: folder / job / f"{attempt}.json"  # noqa: E731
        return Courses(lambda: self.snapshot, lambda: self.loads, place, 5.0)

    def look(self, courses: Courses, at: float, cpu: float) -> None:
        self.loads = {"n1": Load(at, cpu=cpu, memory_used_mib=512)}
        courses.look(at)


def test_from_the_ranks_start_to_their_end_and_over_a_restart(tmp_path: Path) -> None:
    cluster = Cluster()
    courses = cluster.courses(tmp_path)
    cluster.look(courses, 5.0, 0.1)
    assert courses.course("1", 1) is None  # its files are travelling still
    cluster.runs(10.0)
    for second in (11.0, 16.0, 11.0 + WRITE_EVERY_S):
        cluster.look(courses, second, 0.5)
    kept = courses.course("1", 1)
    assert kept is not None and [use.cpu for use in kept.uses][:2] == [0.5, 0.5] and kept.begin == 10.0
    again = cluster.courses(tmp_path)  # the first was killed: what it had not written is lost, no more
    assert again.course("1", 1) == kept
    cluster.look(again, 100.0, 0.9)
    cluster.happen(ev.AttemptEnding(101.0, "1", 1, Result.COMPLETED, ""))
    cluster.look(again, 105.0, 0.0)
    whole = cluster.courses(tmp_path).course("1", 1)
    assert whole is not None and whole.uses[-1].cpu == 0.9 and len(whole.uses) == 19
    assert whole.uses[10].samples == 0


def test_a_full_disk_or_a_broken_file_costs_the_chart_alone(tmp_path: Path) -> None:
    cluster = Cluster()
    cluster.runs(10.0)
    (tmp_path / "1").write_text("where its folder should be")
    courses = cluster.courses(tmp_path)
    cluster.look(courses, 11.0, 0.5)
    courses.stop()
    assert courses.course("1", 1) is not None
    (tmp_path / "1").unlink()
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "1.json").write_text("{")
    assert cluster.courses(tmp_path).course("1", 1) is None


def test_what_was_measured_before_the_start_does_not_count(tmp_path: Path) -> None:
    cluster = Cluster()
    courses = cluster.courses(tmp_path)
    cluster.runs(10.0)
    cluster.loads = {"n1": Load(9.0, cpu=1.0)}
    courses.look(11.0)
    assert courses.course("1", 1) is None
