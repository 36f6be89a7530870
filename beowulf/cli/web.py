"""``beowulf web``"""

from __future__ import annotations

import click

from beowulf.cli.common import Said, example, hosted


@click.command(epilog=example("beowulf web", "beowulf web --port 8765 --read-only"))
@click.option("--port", type=click.IntRange(1, 65535), default=8760, show_default=True, help="To listen on.")
@click.option("--read-only", is_flag=True, help="For looking: nothing can be changed from it.")
@hosted
@click.pass_obj
def web(said: Said, port: int, read_only: bool) -> None:
    """`beowulf top` in a browser, until Ctrl-C. Prints the address to open, which holds a token.

    It listens on 127.0.0.1 alone. From another machine: ssh -L 8760:127.0.0.1:8760 HEAD, then the same address.
    """
    import secrets

    from beowulf.model.errors import Refused

    try:
        from beowulf.tui.web import GuardedServer
    except ImportError as error:
        raise Refused(f"{error.name} is not installed", hint="pip install 'beowulf[web]'") from error
    with said.client() as client:
        client.ping()
    words = ["top", *(["--read-only"] if read_only else []), *(["--host", said.host] if said.host else [])]
    GuardedServer(words, "127.0.0.1", port, secrets.token_urlsafe(24)).serve()
