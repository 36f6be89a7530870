"""``beowulf stdio``: what ``--host`` runs on the head."""

from __future__ import annotations

import click


@click.command(hidden=True)
def stdio() -> None:
    """Standard input and output to and from the head's socket. Not for people."""
    from beowulf.client.connection import default_socket
    from beowulf.client.stdio import bridge

    bridge(default_socket())
