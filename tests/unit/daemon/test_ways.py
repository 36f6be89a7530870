"""What comes of opening a way is always told, and a gang that has ended gets none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from beowulf.controller.draft import OpenWays, WayBroken, WaysOpened
from beowulf.daemon import ways
from beowulf.model.node import LineSpeed
from beowulf.transport import ProblemKind
from beowulf.transport.problem import failed

ACTION = OpenWays("1.1", "n1", 4000, ("aws-1", "aws-2"))
LINE = LineSpeed("n1", 12.0, 40.0)


class Passages:
    def __init__(self, trouble: Exception | None) -> None:
        self._trouble = trouble
        self.led: list[tuple[str, int]] = []
        self.closed = 0

    def lead(self, far: str, port: int) -> int:
        if self._trouble is not None:
            raise self._trouble
        self.led.append((far, port))
        return 5000 + len(self.led)

    def close(self) -> None:
        self.closed += 1


class Fleet:
    def __init__(self, trouble: Exception | None = None) -> None:
        self._trouble = trouble
        self.made: list[Passages] = []

    def passages(self, near: str, on_broken: Callable[[str], None]) -> Passages:
        self.made.append(Passages(self._trouble))
        return self.made[-1]


@pytest.fixture(autouse=True)
def _measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(fleet: Any, near: str, far: str, place_of: Callable[[int], tuple[str, int]]) -> LineSpeed:
        assert place_of(77) == ("127.0.0.1", 5001)
        return LINE

    monkeypatch.setattr(ways, "measured", measured)


def opened(fleet: Fleet, *, ended: bool = False) -> tuple[ways.Ways, WaysOpened | WayBroken]:
    posted: list[WaysOpened | WayBroken] = []
    made = ways.Ways(fleet, posted.append)  # type: ignore[arg-type]
    if ended:
        made.end("1.1", over=False)
    made.open(ACTION)
    (told,) = posted
    return made, told


def test_the_line_is_measured_first_and_every_far_node_gets_a_port() -> None:
    fleet = Fleet()
    _, told = opened(fleet)
    assert told == WaysOpened("1.1", {"aws-1": 5001, "aws-2": 5002}, "aws-1", LINE)
    trial, kept = fleet.made
    assert (trial.led, trial.closed) == ([("aws-1", 77)], 1)
    assert (kept.led, kept.closed) == ([("aws-1", 4000), ("aws-2", 4000)], 0)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (failed(ProblemKind.UNREACHABLE, "no port of aws-1 can be forwarded", "allow it"), "forwarded (allow it)"),
        (KeyError("n1"), "KeyError: 'n1'"),
    ],
)
def test_whatever_goes_wrong_is_told(trouble: Exception, said: str) -> None:
    _, told = opened(Fleet(trouble))
    assert isinstance(told, WaysOpened) and told.error.endswith(said) and not told.ports and told.line is None


def test_an_attempt_that_has_ended_gets_no_way() -> None:
    fleet = Fleet()
    _, told = opened(fleet, ended=True)
    assert isinstance(told, WaysOpened) and not told.ports
    assert fleet.made[-1].led == []
