"""Every view as it looks, at three sizes, and without colours. What differs is a decision, seen in the diff of a text.

`BEOWULF_GOLDEN=write pytest tests/unit/tui/test_views_as_they_look.py` writes the pages anew.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from driving import lines_of, screen_text, settle, until
from made_up import NOW, MadeUp
from textual.filter import Monochrome
from textual.pilot import Pilot

from beowulf.tui.app import Top
from beowulf.tui.feed import Feed
from beowulf.tui.job import TABS
from beowulf.tui.overview import PANES

GOLDEN = Path(__file__).parents[2] / "golden" / "tui"
SIZES = ((80, 24), (120, 36), (200, 60))
WRITE = os.environ.get("BEOWULF_GOLDEN") == "write"
PATIENCE_S = 10.0  # of each page that is not as it should be
VIEWS = tuple(kind.TITLE.casefold() for kind in PANES)


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def golden(name: str, size: tuple[int, int]) -> Path:
    return GOLDEN / f"{name}-{size[0]}x{size[1]}.txt"


def page(app: Top) -> str:
    return "".join(f"{line}\n" for line in lines_of(app))


def pages(size: tuple[int, int]) -> tuple[dict[str, str], Top]:
    """The text of every view, and of every tab of a job: as it should be, or as it is where that does not come."""
    made_up: Any = MadeUp()
    found: dict[str, str] = {}

    async def look(app: Top, pilot: Pilot[None], name: str) -> None:
        await settle(pilot)
        if WRITE:
            await pilot.pause(1.0)
        else:
            with suppress(AssertionError):
                await until(pilot, lambda: page(app) == golden(name, size).read_text(), PATIENCE_S)
        found[name] = page(app)

    async def main() -> Top:
        app = Top(made_up, Feed(made_up), clock=lambda: NOW)
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: app.overview.state.heard and bool(app.overview.cloud.bill.sentence))
            for at, view in enumerate(VIEWS):
                await pilot.press(str(at + 1))
                await settle(pilot)
                await until(pilot, lambda: bool(app.overview.pane.rows.keys))
                await look(app, pilot, view)
            await pilot.press("2", "d")
            await until(pilot, lambda: "runs on n[1-4]" in screen_text(app))
            for at, tab in enumerate(TABS):
                await pilot.press(str(at + 1))
                await look(app, pilot, f"job-{tab}")
            await pilot.press("escape", "question_mark")
            await look(app, pilot, "help")
        made_up.hang_up()
        return app

    return found, asyncio.run(main())


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_every_view_looks_as_it_did(size: tuple[int, int]) -> None:
    found, _ = pages(size)
    for name, text in found.items():
        file = golden(name, size)
        if WRITE:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        assert text == file.read_text(), f"{file.name} differs; if that is meant: BEOWULF_GOLDEN=write"


def test_without_colours_every_word_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    coloured, _ = pages((80, 24))
    monkeypatch.setenv("NO_COLOR", "1")
    plain, app = pages((80, 24))
    assert any(isinstance(one, Monochrome) for one in app._filters)
    assert plain == coloured
