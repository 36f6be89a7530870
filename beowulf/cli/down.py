"""``beowulf down``"""

from __future__ import annotations

import time

import click

from beowulf.cli.common import Said, common, example, say
from beowulf.model.errors import Unreachable

PATIENCE_S = 30.0


@click.command(epilog=example("beowulf down"))
@common
@click.pass_obj
def down(said: Said) -> None:
    """Stop the head. Jobs go on; the next `beowulf up` finds them again."""
    with said.client() as client:
        try:
            client.shutdown()
        except Unreachable:
            say("no head is up")
            return
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                client.ping()
            except Unreachable:
                say("the head is down; jobs go on")
                return
            time.sleep(0.05)
    raise Unreachable(f"the head still answers after {PATIENCE_S:.0f} s")
