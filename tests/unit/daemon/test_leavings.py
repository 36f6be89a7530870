"""What jobs left on the head goes when it is old or too much, never what is needed, and says so."""

from __future__ import annotations

import math
import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from test_housekeeping import Remembering, cluster

from beowulf.daemon.housekeeping import Housekeeping
from beowulf.daemon.leavings import dated, leavings, let_go, limits_of, word_of
from beowulf.model.snapshot import Snapshot
from beowulf.specs.settings import KeepJobs
from beowulf.sync.expiry import Cached, CacheLimits
from beowulf.sync.trees import TreeStore
from beowulf.sync.wheels import WheelHouse

DAY = 86400.0
NOW = 1000 * DAY


def job(folder: Path, name: str, day: float, size: int = 10) -> None:
    """Its log and outputs, the last of which came on ``day``."""
    for path in (folder / name / "logs" / "1" / "0.log", folder / name / "outputs" / "model" / "weights"):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x" * size)
    for path in sorted((folder / name).rglob("*"), reverse=True):
        os.utime(path, (day * DAY, day * DAY))


def tidy(folder: Path, keep: CacheLimits | None, snapshot: Snapshot | None = None) -> list[str]:
    """→ the jobs whose outputs are there still."""
    known = snapshot or Snapshot()
    trees, wheels = TreeStore(folder / "trees"), WheelHouse(folder / "wheels")
    stager, jobs = Remembering(), folder / "jobs"
    Housekeeping(lambda: known, stager, trees, wheels, jobs, folder / "log", lambda before: None, keep_jobs=keep).tidy(
        NOW
    )
    return sorted(path.parent.name for path in jobs.glob("*/outputs"))


def test_what_is_older_than_the_limit_goes_but_for_jobs_that_have_not_ended(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs"
    for name, day in (("1", 10), ("2", 10), ("3_1", 20), ("3_2", 980), ("4", 999)):  # job 1 has not ended
        job(jobs, name, day)
    (jobs / "2" / "use").mkdir()
    assert tidy(tmp_path, CacheLimits(1 << 40, 100 * DAY), cluster()) == ["1", "3_2", "4"]
    assert sorted(path.name for path in (jobs / "2").iterdir()) == ["let-go", "use"]  # its number is not given again
    assert "100 days old" in word_of(jobs / "2") and word_of(jobs / "1") == ""


def test_the_oldest_make_room_and_nothing_of_the_last_week(tmp_path: Path) -> None:
    for name, day in (("1", 900), ("2", 901), ("3", 902), ("4", 996), ("5", 999)):
        job(tmp_path / "jobs", name, day, size=500)
    assert tidy(tmp_path, CacheLimits(3000, 365 * DAY)) == ["3", "4", "5"]
    assert tidy(tmp_path, CacheLimits(1, 365 * DAY)) == ["4", "5"]
    assert "in all" in word_of(tmp_path / "jobs" / "1")


def test_everything_stays_when_nothing_is_said(tmp_path: Path) -> None:
    for name, day in (("1", 10), ("2", 700)):
        job(tmp_path / "jobs", name, day)
    assert tidy(tmp_path, limits_of(KeepJobs())) == ["1", "2"]
    assert limits_of(KeepJobs(max_mib=2)) == CacheLimits(2 << 20, math.inf)
    assert tidy(tmp_path, limits_of(KeepJobs(max_age_s=365 * DAY))) == ["2"]


def test_outputs_are_as_old_as_their_coming_home(tmp_path: Path) -> None:
    job(tmp_path, "1", 900)
    os.utime(tmp_path / "1" / "outputs" / "model" / "weights", (0.0, NOW + DAY))  # as the node dated it
    assert leavings(tmp_path) == [Cached("1", 20, 900 * DAY)]


def test_a_clock_that_was_wrong_for_a_while_costs_nothing(tmp_path: Path) -> None:
    """The battery was flat: the head came up in 2010, and NTP set it right an hour later."""
    for name, day in (("1", 950), ("2", 1), ("3", 999), ("4", 5000), ("5", 2)):
        job(tmp_path / "jobs", name, day)
    assert tidy(tmp_path, CacheLimits(1 << 40, 100 * DAY)) == ["1", "2", "3", "4", "5"]


@given(st.lists(st.floats(0, 2 * NOW), max_size=8))
def test_dates_grow_with_the_number_and_are_never_later_than_now(times: list[float]) -> None:
    found = dated([Cached(str(place), 1, at) for place, at in enumerate(times)], NOW)
    dates = [item.used_at for item in found]
    assert all(at <= NOW for at in dates)
    known = next((place for place, at in enumerate(times) if at <= NOW and at), len(times))
    assert dates[known:] == sorted(dates[known:])
    assert all(item.used_at >= times[int(item.name)] for item in found if times[int(item.name)] <= NOW)


def test_a_kill_in_the_middle_is_made_good_the_next_time(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs"
    job(jobs, "1", 10)
    (jobs / "1" / "let-go").write_text("it is old")
    (jobs / "1" / "logs" / "1" / "0.log").unlink()
    for path in (jobs / "1" / "logs" / "1", jobs / "1" / "logs"):
        os.utime(path, (10 * DAY, 10 * DAY))
    assert tidy(tmp_path, CacheLimits(1 << 40, 100 * DAY)) == []
    let_go(jobs / "1", "again")
    assert word_of(jobs / "1") == "again"
