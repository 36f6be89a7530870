"""``beowulf top``: machines, jobs, GPUs and events, live, in a terminal. A client of the API and nothing more."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from beowulf.model.errors import Refused

if TYPE_CHECKING:
    from beowulf.client.client import Client

__all__ = ["run"]


def run(client: Client, *, read_only: bool = False, mouse: bool = True) -> None:
    """Shows the screen until the user leaves it. Raises `Refused` where there is no terminal."""
    in_browser = "TEXTUAL_DRIVER" in os.environ  # textual-serve's: there are pipes in place of a terminal
    if not in_browser and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Refused("beowulf top needs a terminal", hint="in a script use: beowulf ps, beowulf nodes list")
    from beowulf.tui.feed import Feed

    feed = Feed(client)  # the head answers while this imports: Textual takes a third of a second
    from beowulf.tui.app import Top

    Top(client, feed, read_only=read_only).run(mouse=mouse)
