"""``beowulf ssh-config``"""

from __future__ import annotations

from collections.abc import Sequence

import click

from beowulf.cli import completing
from beowulf.cli.common import Said, example, hosted
from beowulf.model.errors import Refused

PREFIX = "bw-"


@click.command(epilog=example("beowulf ssh-config > ~/.ssh/beowulf.conf", "ssh bw-n3", "rsync -a data/ bw-n3:data/"))
@click.argument("nodes", nargs=-1, shell_complete=completing.nodes)
@hosted
@click.pass_obj
def ssh_config(said: Said, nodes: tuple[str, ...]) -> None:
    """Lines for ~/.ssh/config, so that `ssh bw-n1`, rsync, scp and editors reach the nodes.

    Each node is a host named bw-NODE, with its pinned key and nothing else trusted. Keep them in a file of their own,
    and put `Include beowulf.conf` at the top of ~/.ssh/config.
    """
    if said.host:
        raise Refused("the cluster's key is on the head and stays there", hint="run it on the head")
    with said.client() as client:
        names = nodes or tuple(node["id"] for node in client.nodes() if not node["endpoint"]["local"])
        blocks = [block(name, client.ssh_command(name)) for name in names]
    click.echo("\n\n".join(blocks))


def block(name: str, argv: Sequence[str]) -> str:
    """The ssh command of a node (``ssh -o KEY=VALUE … [-J JUMP] -p PORT [USER@]HOST``) as a Host block."""
    if argv[0] != "ssh":
        raise Refused(f"{name} is this machine itself: no ssh leads there")
    *words, target = argv[1:]
    lines = [f"Host {PREFIX}{name}"]
    user, at, host = target.rpartition("@")
    lines += [f"    HostName {host}"] + ([f"    User {user}"] if at else [])
    for option, value in zip(words[::2], words[1::2], strict=True):
        if option == "-o":
            key, _, given = value.partition("=")
            lines.append(f"    {key} {_quoted(given)}")
        else:
            lines.append(f"    {OPTIONS[option]} {value}")
    return "\n".join(lines)


OPTIONS = {"-p": "Port", "-J": "ProxyJump"}


def _quoted(text: str) -> str:
    return f'"{text}"' if " " in text else text
