"""The application: its themes, the mouse, and what is asked of it from any screen."""

from __future__ import annotations

from collections.abc import Callable
from time import time
from typing import ClassVar

from textual import on
from textual.app import App
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.screen import Screen

from beowulf.client.client import Client
from beowulf.tui.feed import Feed
from beowulf.tui.mouse import turned
from beowulf.tui.orders import CancelWanted
from beowulf.tui.overview import Overview
from beowulf.tui.size import corrected
from beowulf.tui.themes import COLOUR_BLIND, following


class Top(App[None]):
    TITLE = "beowulf top"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "theme", "Theme", show=False),
        Binding("m", "mouse", "Mouse on or off", show=False),
    ]

    def __init__(
        self, client: Client, feed: Feed, clock: Callable[[], float] = time, *, read_only: bool = False
    ) -> None:
        """``feed`` reads already while the screen is being made."""
        super().__init__()
        self.animation_level = "none"  # many look from afar, through SSH
        self.register_theme(COLOUR_BLIND)
        self.overview = Overview(client, feed, clock, read_only=read_only)

    def get_default_screen(self) -> Screen[None]:
        return self.overview

    def on_resize(self, event: Resize) -> None:
        corrected(event, self._driver)

    def action_theme(self) -> None:
        self.theme = following(self.theme)

    def action_mouse(self) -> None:
        if self._driver is not None:
            ours = turned(self._driver)
            self.notify("the mouse is this screen's again" if ours else "the mouse is your terminal's: m takes it back")

    @on(CancelWanted)
    def _cancel_wanted(self, message: CancelWanted) -> None:
        self.overview.cancel(message.job_ids)
