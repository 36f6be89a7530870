"""``beowulf top``"""

from __future__ import annotations

import click

from beowulf.cli.common import Said, example, hosted


@click.command(epilog=example("beowulf top", "beowulf --host ann@head top --read-only"))
@click.option("--read-only", is_flag=True, help="For looking: nothing can be changed from it.")
@click.option(
    "--no-mouse", is_flag=True, help="Leave the mouse to the terminal, to mark and copy text; m there changes it."
)
@hosted
@click.pass_obj
def top(said: Said, read_only: bool, no_mouse: bool) -> None:
    """Machines, jobs, GPUs and events on one screen, live; ? there lists the keys."""
    from beowulf.tui import run

    with said.client() as client:
        client.ping()
        run(client, read_only=read_only, mouse=not no_mouse)
