"""The gang's own word on who holds it back: told once, by rank 0, and again only when it changes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from beowulf.split.straggler import FIELDS
from beowulf.train.straggling import EVERY_S, FEWEST_STEPS, Straggling

ENVIRONMENT = {
    "SLURM_JOB_NODELIST": "n[1-2]",
    "LOCAL_WORLD_SIZE": "1",
    "WORLD_SIZE": "2",
    "BEOWULF_LINES": "110,11",
}


class Gathered:
    """A reduction of two ranks: the other one was busy for ``other_s`` of each two-second step."""

    rank, world = 0, 2

    def __init__(self) -> None:
        self.other_s = 2.0
        self.gathers = 0
        self.clock: dict[str, float] = {}

    def gather(self, values: Sequence[float]) -> list[list[float]]:
        self.gathers += 1
        other = {"step_s": 2.0, "compute_s": self.other_s, "sync_s": 2.0 - self.other_s, "k": 4.0, **self.clock}
        return [list(values), [other.get(name, 0.0) for name in FIELDS]]


def test_rank_0_tells_each_straggler_once(capsys: pytest.CaptureFixture[str]) -> None:
    gang, mine = Gathered(), Straggling(ENVIRONMENT)

    def answer(other_s: float) -> str:
        gang.other_s = other_s
        begin = gang.gathers
        while gang.gathers == begin:
            for busy in (0.9, 1.1):
                figures = {"step_s": 2.0, "compute_s": busy, "input_s": 0.0, "sync_s": 2.0 - busy}
                mine.stepped(figures, 4, gang)  # type: ignore[arg-type]
        return capsys.readouterr().err

    assert answer(2.0).startswith("beowulf: rank 1 on n2 holds the gang back by 50 % (compute)")
    assert answer(1.9) == ""
    assert "rank 1 on n2 holds the gang back by 50 % (network): its line carries" in answer(1.0)
    assert "rank 1" in answer(2.0)
    gang.clock = {"clock": 0.4, "heat": 1.0}
    assert "(clock): its processor runs at 40 % of its clock, slowed by heat" in answer(2.0)
    gang.rank = 1
    assert answer(1.0) == answer(2.0) == ""


def test_it_is_asked_after_the_first_steps_and_then_about_every_half_minute() -> None:
    gang, mine, asked = Gathered(), Straggling(ENVIRONMENT), []
    for step in range(1, 60):
        before = gang.gathers
        mine.stepped({"step_s": 2.0, "compute_s": 1.0, "input_s": 0.0, "sync_s": 1.0}, 4, gang)  # type: ignore[arg-type]
        asked += [step] if gang.gathers > before else []
    every = round(EVERY_S / 2.0)
    assert asked == [FEWEST_STEPS + every * number for number in range(len(asked))] and len(asked) == 4


def test_alone_nobody_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    gang, mine = Gathered(), Straggling({})
    gang.world = 1
    for _ in range(FEWEST_STEPS):
        mine.stepped({"step_s": 2.0, "compute_s": 2.0, "input_s": 0.0, "sync_s": 0.0}, 4, gang)  # type: ignore[arg-type]
    assert gang.gathers == 0 and capsys.readouterr().err == ""
