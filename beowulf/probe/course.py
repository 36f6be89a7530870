"""How busy an attempt's machines were from its start to its end, in a bounded number of steps.

A course has at most `MOST` steps. When a moment comes that has no place, neighbours become one step of twice the
length: a minute is told by seconds, a month by hours, and both are a few kilobytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from beowulf.probe.load import Load

MOST = 120
FIRST_WIDTH_S = 5.0


@dataclass(frozen=True, slots=True)
class Use:
    """Means over a gang's machines and a step's samples; -1: not told. ``samples`` 0: the head was not looking."""

    samples: int = 0
    cpu: float = -1.0  # 0 … 1 of all threads of its machines, whoever uses them
    memory_mib: float = -1.0  # of all its machines together
    gpu: float = -1.0  # 0 … 1 of its own GPUs
    gpu_memory_mib: float = -1.0  # of all its own GPUs together


@dataclass(frozen=True, slots=True)
class Course:
    """``uses[n]`` is from ``begin + n · width_s`` on (seconds since the epoch)."""

    begin: float
    width_s: float = FIRST_WIDTH_S
    uses: tuple[Use, ...] = ()


def use_of(loads: Mapping[str, Load], gpus: Mapping[str, Iterable[int]]) -> Use:
    """``loads``: the newest of each machine; ``gpus``: which of its GPUs the attempt has, by machine."""
    cards = [card for node, load in loads.items() for card in load.gpus if card.index in set(gpus.get(node, ()))]
    return Use(
        1 if loads else 0,
        cpu=_mean([load.cpu for load in loads.values()]),
        memory_mib=_sum([load.memory_used_mib for load in loads.values()]),
        gpu=_mean([card.utilisation for card in cards]),
        gpu_memory_mib=_sum([card.memory_used_mib for card in cards]),
    )


def extended(course: Course, use: Use, at: float) -> Course:
    """With one more sample. One of before the newest step counts in that."""
    step = max(int((at - course.begin) // course.width_s), len(course.uses) - 1, 0)
    if step >= MOST:
        return extended(_halved(course), use, at)
    uses = course.uses + (Use(),) * (step + 1 - len(course.uses))
    return replace(course, uses=(*uses[:-1], _together(uses[-1], use)))


def _halved(course: Course) -> Course:
    pairs = zip(course.uses[::2], (*course.uses[1::2], Use()), strict=False)
    return Course(course.begin, 2 * course.width_s, tuple(_together(one, other) for one, other in pairs))


def _together(one: Use, other: Use) -> Use:
    """Each figure's mean, weighed by samples; one that is not told on one side is the other's."""
    samples = one.samples + other.samples

    def mean(first: float, second: float) -> float:
        if not other.samples or second < 0:
            return first
        if not one.samples or first < 0:
            return second
        return (first * one.samples + second * other.samples) / samples

    return Use(
        samples,
        mean(one.cpu, other.cpu),
        mean(one.memory_mib, other.memory_mib),
        mean(one.gpu, other.gpu),
        mean(one.gpu_memory_mib, other.gpu_memory_mib),
    )


def _mean(values: Iterable[float]) -> float:
    told = [value for value in values if value >= 0]
    return sum(told) / len(told) if told else -1.0


def _sum(values: Iterable[float]) -> float:
    told = [value for value in values if value >= 0]
    return float(sum(told)) if told else -1.0
