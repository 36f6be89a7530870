"""Textual's pilot over a made-up cluster, and what a person sees of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from made_up import NOW, MadeUp
from textual.css.query import NoMatches
from textual.pilot import Pilot

from beowulf.tui.app import Top
from beowulf.tui.feed import Feed
from beowulf.tui.log import JobLog

Steps: TypeAlias = Callable[[Top, Pilot[None]], Awaitable[None]]


def drive(client: MadeUp, steps: Steps, size: tuple[int, int] = (120, 30), **how: Any) -> Top:
    async def main() -> Top:
        made_up: Any = client
        app = Top(made_up, Feed(made_up), clock=lambda: NOW, **how)
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: app.overview.state.heard or bool(app.overview.state.stale))
            await settle(pilot)
            await steps(app, pilot)
            client.hang_up()
        return app

    return asyncio.run(main())


async def until(pilot: Pilot[None], holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60.0
    while not _now(holds):
        assert time.monotonic() < deadline, "it never came"
        await pilot.pause(0.02)


def _now(holds: Callable[[], object]) -> bool:
    try:
        return bool(holds())
    except (LookupError, NoMatches):  # what it looks at is not there yet
        return False


async def settle(pilot: Pilot[None]) -> None:
    """All that was asked has been answered and drawn."""
    for _ in range(3):
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()


async def press(pilot: Pilot[None], *keys: str) -> None:
    await pilot.press(*keys)
    await settle(pilot)


def screen_text(app: Top) -> str:
    """What a person sees, line by line."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips(app.size))


def lines_of(app: Top) -> list[str]:
    return [line.rstrip() for line in screen_text(app).splitlines()]


def notes(app: Top) -> list[str]:
    return [note.message for note in app._notifications]


def log_text(app: Top) -> str:
    return "\n".join(strip.text for strip in app.screen.query_one(JobLog).lines)
