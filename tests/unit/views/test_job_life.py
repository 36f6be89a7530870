"""A job's life: its steps through all attempts, and how busy its machines were."""

from __future__ import annotations

from typing import Any

from beowulf.views.course import course_curves, course_table
from beowulf.views.timeline import MOST_ATTEMPTS, timeline


def attempt(number: int, placed: float, started: float, ended: float = 0.0, ending: str = "") -> dict[str, Any]:
    return {"number": number, "placed_at": placed, "started_at": started, "ended_at": ended, "ending": ending or None}


def kept(attempt_number: int, at: float, step: int) -> dict[str, Any]:
    return {"at": at, "kind": "CheckpointKept", "body": {"attempt": attempt_number, "step": step}}


def steps(job: dict[str, Any], *checkpoints: dict[str, Any], now: float = 1000.0) -> list[tuple[str, str]]:
    return [(row[0], row[2]) for row in timeline(job, checkpoints, now=now, utc=True).rows]


def test_requeues_and_checkpoints_stand_where_they_happened() -> None:
    job = {
        "submitted_at": 100.0,
        "attempts": [attempt(1, 110.0, 120.0, 300.0, "NODE_FAIL"), attempt(2, 330.0, 340.0)],
    }
    assert steps(job, kept(1, 200.0, 500), kept(1, 260.0, 800), kept(2, 900.0, 2000)) == [
        ("queued", "0:10"),
        ("preparing", "0:10"),
        ("running", "3:00"),
        ("checkpoint, step 800, the newest of 2", ""),
        ("queued again after NODE_FAIL", "0:30"),
        ("preparing", "0:10"),
        ("running", "11:00"),
        ("checkpoint, step 2000", ""),
    ]


def test_an_end_is_the_end_and_a_requeue_is_none() -> None:
    job = {"submitted_at": 100.0, "ended_at": 300.0, "attempts": [attempt(1, 110.0, 120.0, 300.0, "FAILED")]}
    assert steps(job)[-1] == ("ended", "")
    waiting = {**job, "ended_at": 0.0}
    assert steps(waiting)[-1] == ("queued again after FAILED", "11:40")
    assert steps({"submitted_at": 100.0, "ended_at": 160.0}) == [("queued", "1:00"), ("ended", "")]


def test_of_many_attempts_the_newest_are_shown() -> None:
    many = [attempt(n, 100.0 * n, 100.0 * n + 10, 100.0 * n + 50, "RESIZED") for n in range(1, 21)]
    shown = steps({"submitted_at": 50.0, "attempts": many})
    assert shown[1] == (f"… {20 - MOST_ATTEMPTS} earlier attempts", "")
    assert len(shown) == 2 + 3 * MOST_ATTEMPTS


def test_each_figure_is_a_line_and_gaps_are_blank() -> None:
    course = {
        "width_s": 5.0,
        "cpu": [0.0, 0.5, -1.0, 1.0],
        "memory_mib": [1024.0, 2048.0, -1.0, 2048.0],
        "gpu": [-1.0] * 4,
        "gpu_memory_mib": [],
    }
    shown = course_table(course)
    assert shown.title == "Use of its machines in 0:20"
    assert shown.rows == (("processors", "50%", "100%", "▁▅ █"), ("memory", "1.7G", "2.0G", "▅█ █"))
    assert course_table({"attempt": 1}).rows == ()


def test_a_long_course_is_as_wide_as_there_is_room() -> None:
    (row,) = course_table({"width_s": 60.0, "cpu": [n / 120 for n in range(120)]}, 30).rows
    assert len(row[-1]) == 30 and row[-1][0] == "▁" and row[-1][-1] == "█"


def test_the_same_figures_as_curves_over_the_unit_that_suits_their_length() -> None:
    course = {"width_s": 60.0, "cpu": [0.0, -1.0, 0.5, 0.84, -1.0], "memory_mib": [512.0, -1.0, 3072.0, 2048.0, -1.0]}
    cpu, memory = course_curves({**course, "gpu": [-1.0] * 5})
    assert (cpu.name, cpu.values, cpu.most, cpu.newest) == ("processors, %", (0.0, None, 50.0, 84.0, None), 100.0, 84.0)
    assert (memory.name, memory.most, memory.newest) == ("memory, GiB", 3.0, 2.0)
    assert (cpu.along, cpu.at) == ("minutes since it began", (0.5, 1.5, 2.5, 3.5, 4.5))
    assert course_curves({"width_s": 5.0, "cpu": [1.0]})[0].along == "seconds since it began"
    assert course_curves({"width_s": 7200.0, "cpu": [1.0] * 3})[0].along == "hours since it began"
    assert course_curves({"attempt": 1}) == []
