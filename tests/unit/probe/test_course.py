"""How busy an attempt was, told in a bounded number of steps however long it ran."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beowulf.model.codec import decode, encode
from beowulf.probe import Course, GpuLoad, Load, Use, extended, use_of
from beowulf.probe.course import FIRST_WIDTH_S, MOST

MOMENTS = st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1)), min_size=1, max_size=300).map(sorted)


def course_of(samples: list[tuple[float, float]]) -> Course:
    course = Course(0.0)
    for at, cpu in samples:
        course = extended(course, Use(1, cpu=cpu), at)
    return course


@given(MOMENTS)
def test_nothing_is_lost_and_nothing_grows(samples: list[tuple[float, float]]) -> None:
    course = course_of(samples)
    assert len(course.uses) <= MOST and course.width_s * len(course.uses) >= samples[-1][0]
    assert sum(use.samples for use in course.uses) == len(samples)
    mean = sum(use.cpu * use.samples for use in course.uses if use.samples) / len(samples)
    assert abs(mean - sum(cpu for _, cpu in samples) / len(samples)) < 1e-6
    assert len(encode(course)) < 16_000 and decode(Course, encode(course)) == course


def test_steps_become_longer_by_doubling() -> None:
    every = [(FIRST_WIDTH_S * n, float(n % 2)) for n in range(MOST)]
    assert course_of(every).width_s == FIRST_WIDTH_S
    longer = course_of([*every, (FIRST_WIDTH_S * MOST, 1.0)])
    assert longer.width_s == 2 * FIRST_WIDTH_S and len(longer.uses) == MOST // 2 + 1
    assert {use.cpu for use in longer.uses[:-1]} == {0.5}


def test_a_gap_stays_one() -> None:
    course = course_of([(0.0, 0.5), (20.0, 0.7)])
    assert [use.cpu for use in course.uses] == [0.5, -1.0, -1.0, -1.0, 0.7]


def test_the_attempts_own_gpus_and_all_of_its_machines() -> None:
    loads = {
        "n1": Load(1.0, cpu=0.2, memory_used_mib=1000, gpus=(GpuLoad(0, 0.9, 500), GpuLoad(1, 0.1, 70))),
        "n2": Load(1.0, cpu=0.4, memory_used_mib=-1, gpus=(GpuLoad(0, -1.0, 300),)),
    }
    use = use_of(loads, {"n1": (0,), "n2": (0,)})
    assert use.cpu == pytest.approx(0.3)
    assert (use.memory_mib, use.gpu, use.gpu_memory_mib) == (1000.0, 0.9, 800.0)
    assert use_of({}, {}) == Use()
