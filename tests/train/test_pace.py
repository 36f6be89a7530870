"""When ranks agree on a split, and on what: the pace of several ranks, driven without processes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from beowulf import train
from beowulf.split import AGREED, Line
from beowulf.train.pace import Pace


class Table:
    """Carries the messages of ``ranks`` that sit in one process: what they tell is known before they ask."""

    def __init__(self, ranks: int) -> None:
        self.world = ranks
        self.rows: list[list[float]] = []
        self.asked = 0

    def gather(self, values: Sequence[float]) -> list[list[float]]:
        assert len(values) == len(self.rows[0])  # every rank tells as much as the others
        self.asked += 1
        return self.rows


def run(ranks: Sequence[Line], steps: int, cost_s: float = 0.0, **known: Sequence[float]) -> tuple[Pace, Table]:
    """Rank 0's pace after that many steps of 32 micro-batches."""
    table = Table(len(ranks))
    pace = Pace(table, **known)  # type: ignore[arg-type]
    history: list[list[float]] = []
    for _ in range(steps):
        told = history[-min(3, len(pace._times)) :]
        table.rows = [[cost_s, 0.0, *times] for times in zip(*told, strict=True)] if told else []
        pace.border(32)
        times = [line.seconds(count) for line, count in zip(ranks, pace.share(32), strict=True)]
        history.append(times)
        pace.took(times[0])
    return pace, table


def test_known_speeds_decide_the_first_split() -> None:
    pace, table = run([Line(0, 1)] * 3, 1, speeds=(2.0, 1.0, 1.0))
    assert (pace.share(32), table.asked) == ((16, 8, 8), 0)


def test_the_split_is_found_by_asking() -> None:
    pace, _ = run([Line(0.1, 0.1), Line(0.1, 0.1), Line(0.4, 0.4)], 10)
    assert sorted(pace.share(32)) == [3, 14, 15] and pace.share(32)[2] == 3


def test_dear_messages_are_sent_rarely_once_the_split_stands() -> None:
    equal = [Line(0.0, 0.001)] * 2
    steps = 80
    assert run(equal, steps, cost_s=1e-6)[1].asked == steps - 1
    _, dear = run(equal, steps, cost_s=0.5)
    assert steps / AGREED - 1 < dear.asked < steps / AGREED + 8


def test_limits_hold_and_too_tight_ones_are_refused() -> None:
    pace, _ = run([Line(0, 1)] * 2, 6, caps=(30, 4))
    assert pace.share(32) == (28, 4)
    with pytest.raises(ValueError, match="32 micro-batches do not fit: the ranks' limits are 3, 4"):
        run([Line(0, 1)] * 2, 1, caps=(3, 4))


def test_a_held_split_has_to_fit() -> None:
    pace = Pace(Table(2))  # type: ignore[arg-type]
    pace.fix((3, 1))
    pace.border(4)
    assert (pace.share(4), pace.share(8), pace.share(1)) == ((3, 1), (6, 2), (1, 0))
    with pytest.raises(ValueError, match=r"\(3, 1\) does not share 5 micro-batches out to 2 ranks"):
        pace.border(5)


def test_speeds_of_another_number_of_ranks_are_the_past(monkeypatch: pytest.MonkeyPatch) -> None:
    with train.session(environment={"BEOWULF_SPEEDS": "3,1"}) as bw:
        bw.pace.border(4)
        assert bw.pace.share(4) == (4,)
