"""The application: its themes, and what is asked of it from any screen."""

from __future__ import annotations

from collections.abc import Callable
from time import time

from textual import on
from textual.app import App
from textual.screen import Screen

from beowulf.client.client import Client
from beowulf.tui.orders import CancelWanted
from beowulf.tui.overview import Overview
from beowulf.tui.themes import COLOUR_BLIND


class Top(App[None]):
    TITLE = "beowulf top"

    def __init__(self, client: Client, clock: Callable[[], float] = time, *, read_only: bool = False) -> None:
        super().__init__()
        self.animation_level = "none"  # many look from afar, through SSH
        self.register_theme(COLOUR_BLIND)
        self.overview = Overview(client, clock, read_only=read_only)

    def get_default_screen(self) -> Screen[None]:
        return self.overview

    @on(CancelWanted)
    def _cancel_wanted(self, message: CancelWanted) -> None:
        self.overview.cancel(message.job_ids)
