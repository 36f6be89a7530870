"""Every view, tab and window as it looks, at three sizes, and without colours. What differs is a decision, seen in the
diff of a text.

`BEOWULF_GOLDEN=write pytest tests/unit/tui/test_views_as_they_look.py` writes the pages anew.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from driving import drive, press, screen_text, settle, until
from made_up import MadeUp
from textual.filter import Monochrome
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input

import beowulf.tui
from beowulf.tui.app import Top
from beowulf.tui.job import TABS
from beowulf.tui.overview import PANES

GOLDEN = Path(__file__).parents[2] / "golden" / "tui"
SIZES = ((80, 24), (120, 36), (200, 60))
JOB_FILE = "hello.yaml"
# What is pressed from the list of jobs on. The views and the tabs are read off the app: a new one has a page.
PAGES: Mapping[str, tuple[str, ...]] = {
    **{kind.TITLE.casefold(): (str(at),) for at, kind in enumerate(PANES, 1)},
    **{f"job-{tab}": ("d", str(at)) for at, tab in enumerate(TABS, 1)},
    "gpus-list": ("3", "v", "v", "v", "v"),
    "cloud-offers": ("4", "v"),
    "marked-and-filtered": ("a", "slash", *"jonas resnet", "enter"),
    "command": ("colon", *"gpu"),
    "node": ("1", "d"),
    "cancel": ("space", "space", "x"),
    "drain": ("1", "D"),
    "columns": ("c",),
    "new-job": ("n", JOB_FILE, "enter"),
    "help": ("question_mark",),
    "job-help": ("d", "question_mark"),
}


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    (tmp_path / JOB_FILE).write_text("name: hello\nrun: hostname\n")
    monkeypatch.chdir(tmp_path)
    yield
    monkeypatch.undo()
    time.tzset()


def pages(size: tuple[int, int]) -> tuple[dict[str, str], set[str], Top]:
    """The text of every page, and the screens there were."""
    found: dict[str, str] = {}
    screens: set[str] = set()

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: bool(app.overview.cloud.bill.sentence))
        for name, keys in PAGES.items():
            await begin_anew(app, pilot)
            for key in keys:
                if key == JOB_FILE:
                    app.screen.query_one("#file", Input).value = key
                else:
                    await pilot.press(key)
                    await settle(pilot)
            found[name] = await at_rest(app, pilot)
            screens.add(type(app.screen).__name__)

    return found, screens, drive(MadeUp(), steps, size)


async def begin_anew(app: Top, pilot: Pilot[None]) -> None:
    """The list of jobs as at first."""
    while app.screen is not app.overview:
        app.pop_screen()
        await pilot.pause()
    app.overview.action_leave()
    await press(pilot, "2", "home", "escape")


async def at_rest(app: Top, pilot: Pilot[None]) -> str:
    """The screen's text once all that was asked has come and nothing changes any more."""
    before, text = "", screen_text(app)
    while text != before or "job 41 …" in text:
        await settle(pilot)
        await pilot.pause(0.05)
        before, text = text, screen_text(app)
    return text


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_every_view_looks_as_it_did(size: tuple[int, int]) -> None:
    found, screens, _ = pages(size)
    assert screens == screens_of_the_app()
    for name, text in found.items():
        file = GOLDEN / f"{name}-{size[0]}x{size[1]}.txt"
        if os.environ.get("BEOWULF_GOLDEN") == "write":
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(page_of(text))
        assert page_of(text) == file.read_text(), f"{file.name} differs; if that is meant: BEOWULF_GOLDEN=write"


def page_of(text: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def screens_of_the_app() -> set[str]:
    modules = [one.name for one in pkgutil.iter_modules(beowulf.tui.__path__) if one.name != "web"]
    kinds = [kind for name in modules for kind in vars(importlib.import_module(f"beowulf.tui.{name}")).values()]
    ours = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Screen)]
    return {kind.__name__ for kind in ours if kind.__module__.startswith("beowulf.")}


def test_without_colours_every_word_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    found, _, app = pages((80, 24))
    assert any(isinstance(one, Monochrome) for one in app._filters)
    assert {name: page_of(text) for name, text in found.items()} == {
        name: (GOLDEN / f"{name}-80x24.txt").read_text() for name in found
    }
