"""What the lines on top and at the bottom leave out where there is little room, and what they never do."""

from __future__ import annotations

import pytest
from driving import drive, lines_of, press, until
from made_up import MadeUp
from textual.pilot import Pilot

from beowulf.tui.app import Top

AT_WIDTH = {
    180: "beowulf  6/7 nodes up · 1/2 GPUs busy · 2 running, 1 starting, 3 waiting · 1 alert: n7 is down"
    " · $1.05/h ▋      ▏ $4.10 of $50.00",
    120: "6/7 nodes up · 1/2 GPUs busy · 2 running, 1 starting, 3 waiting · 1 alert: n7 is down"
    " · $1.05/h, $4.10 of $50.00",
    88: "6/7 nodes · 1/2 GPUs · 2 running, 3 waiting · n7 is down · $1.05/h, $4.10 of $50.00",
    80: "6/7 nodes · 1/2 GPUs · 2 running, 3 waiting · n7 is down · $1.05/h, 8 % spent",
    30: "n7 is down · 6/7 nodes · 1/…",
}


@pytest.mark.parametrize("width", AT_WIDTH)
def test_the_alert_and_the_money_stay_in_fewer_words(width: int) -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: lines_of(app)[0].strip() == AT_WIDTH[width])

    drive(MadeUp(), steps, (width, 24))


def test_marks_are_told_beside_a_long_filter() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await press(pilot, "a", "slash", *"jonas resnet-ablation running", "enter")
        assert "1 marked  only: jo" in lines_of(app)[1]

    drive(MadeUp(), steps, (80, 24))


def test_keys_are_shown_whole_or_not_and_help_always() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        for view in "123456":
            await press(pilot, view)
            assert "? Help" in lines_of(app)[-1] and lines_of(app)[-1].split()[-1] in ("Commands", "Help", "Filter")

    drive(MadeUp(), steps, (80, 24))
    drive(MadeUp(), steps, (40, 24))


def test_of_the_views_the_one_that_is_seen_has_its_name_and_all_can_be_clicked() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        assert lines_of(app)[1].split() == ["1", "2", "Jobs", "3", "4", "5", "6"]
        await pilot.click("#views", offset=(22, 0))
        assert lines_of(app)[1].split() == ["1", "2", "3", "4", "5", "6", "Events"]

    drive(MadeUp(), steps, (40, 12))
