"""Who used what, from jobs as the API lists them."""

from __future__ import annotations

from typing import Any

from beowulf.api import render
from beowulf.model.allocation import Allocation, RankSlot, Share
from beowulf.model.job import Attempt, Job, JobSpec, JobState, Result
from beowulf.views.usage import USAGE_COLUMNS, usage_rows, used


def ended(job_id: str, owner: str, result: Result, *ran: tuple[float, Result]) -> dict[str, Any]:
    """Two threads and one GPU; each attempt ran so long, and ended so."""
    allocation = Allocation((Share("n1", (RankSlot(0, 0, (0, 1), (0,)),)),))
    attempts = tuple(
        Attempt(
            number, allocation, 100.0 * number, {}, started_at=100.0 * number, ending=end, ended_at=100.0 * number + s
        )
        for number, (s, end) in enumerate(ran, 1)
    )
    spec = JobSpec("x", "true", project="vision")
    job = Job(job_id, int(job_id), spec, owner, 1000, 40.0, state=JobState.ENDED, result=result, attempts=attempts)
    return render.job_summary(job, "")


def test_hours_waits_and_what_was_lost() -> None:
    jobs = [
        ended("1", "ann", Result.COMPLETED, (1800.0, Result.NODE_FAIL), (1800.0, Result.COMPLETED)),
        ended("2", "bob", Result.FAILED, (360.0, Result.FAILED)),
        ended("3", "bob", Result.CANCELLED),
    ]
    found = used(jobs, "user")
    assert list(found) == ["ann", "bob"]
    rows = {row[0]: dict(zip(USAGE_COLUMNS, row[1:], strict=True)) for row in usage_rows(found, {"ann": 1.5}, 28800.0)}
    assert rows["ann"] == {
        "JOBS": "1",
        "COMPLETED": "1",
        "THREAD-HOURS": "2.00",
        "OF ALL": "25.0%",
        "GPU-HOURS": "1.00",
        "MEDIAN WAIT": "1:00",
        "LOST": "50%",
        "RENTED": "$1.50",
    }
    assert (rows["bob"]["JOBS"], rows["bob"]["LOST"], rows["bob"]["RENTED"]) == ("2", "100%", "-")
    assert list(used(jobs, "project")) == ["vision"]


def test_a_resize_loses_nothing() -> None:
    job = ended("1", "ann", Result.COMPLETED, (600.0, Result.RESIZED), (600.0, Result.COMPLETED))
    assert used([job], "user")["ann"].lost_s == 0
