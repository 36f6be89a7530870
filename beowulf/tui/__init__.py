"""``beowulf top``: nodes, jobs and the log of the selected job, live, in a terminal."""

from __future__ import annotations

import sys

from beowulf.model.errors import Refused
from beowulf.tui.face import TopClient

__all__ = ["TopClient", "run"]


def run(client: TopClient) -> None:
    """Shows the screen until the user leaves it. Raises `Refused` where there is no terminal."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Refused("beowulf top needs a terminal", hint="in a script use: beowulf ps, beowulf nodes list")
    from beowulf.tui.app import Top  # Textual takes a third of a second to import

    Top(client).run()
