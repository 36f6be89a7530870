"""``beowulf down``"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from beowulf.cli.common import Said, common, emit, example, say
from beowulf.model.errors import Unreachable

if TYPE_CHECKING:
    from beowulf.client import Client

PATIENCE_S = 120.0


@click.command(epilog=example("beowulf down"))
@common
@click.pass_obj
def down(said: Said) -> None:
    """Stop the head. Jobs go on; the next `beowulf up` finds them again."""
    with said.client() as client:
        was_up = _stop(client)
    say("the head is down; jobs go on" if was_up else "no head is up")
    if said.json:
        emit("down", was_up=was_up)


def _stop(client: Client) -> bool:
    """Comes back when no head answers any more. → whether one did."""
    try:
        client.shutdown()
    except Unreachable:
        return False
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            client.ping()
        except Unreachable:
            return True
        time.sleep(0.05)
    raise Unreachable(f"the head still answers after {PATIENCE_S:.0f} s")
