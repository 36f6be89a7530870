"""The gang's own word on who holds it back: told once, by rank 0, and again only when it changes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from beowulf.split.straggler import FIELDS
from beowulf.train.straggling import Straggling

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

    def epoch(other_s: float) -> str:
        gang.other_s = other_s
        for busy in (0.9, 1.1):
            mine.stepped({"step_s": 2.0, "compute_s": busy, "input_s": 0.0, "sync_s": 2.0 - busy}, 4)
        mine.tell(gang)  # type: ignore[arg-type]
        return capsys.readouterr().err

    assert epoch(2.0).startswith("beowulf: rank 1 on n2 holds the gang back by 50 % (compute)")
    assert epoch(1.9) == ""
    assert "rank 1 on n2 holds the gang back by 50 % (network): its line carries" in epoch(1.0)
    assert "rank 1" in epoch(2.0)
    gang.clock = {"clock": 0.4, "heat": 1.0}
    assert "(clock): its processor runs at 40 % of its clock, slowed by heat" in epoch(2.0)
    gang.rank = 1
    assert epoch(1.0) == epoch(2.0) == ""


def test_alone_nobody_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    gang, mine = Gathered(), Straggling({})
    gang.world = 1
    mine.tell(gang)  # type: ignore[arg-type]
    assert gang.gathers == 0 and capsys.readouterr().err == ""
