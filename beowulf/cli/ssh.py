"""``beowulf ssh``"""

from __future__ import annotations

import os
import shlex
import sys

import click

from beowulf.cli.common import Said, example, hosted
from beowulf.cli.completing import nodes
from beowulf.model.errors import Unreachable


@click.command(
    context_settings={"allow_interspersed_args": False}, epilog=example("beowulf ssh n3", "beowulf ssh n3 nvidia-smi")
)
@hosted
@click.argument("node", shell_complete=nodes)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def ssh(said: Said, node: str, command: tuple[str, ...]) -> None:
    """A shell on NODE, or COMMAND there, with the host key that was pinned when it was added."""
    if said.host:  # the cluster's key is on the head, and stays there
        there = ["beowulf", "ssh", node, *command]
        argv = ["ssh", "-t", "--", said.host, shlex.join(there)]
    else:
        with said.client() as client:
            argv = client.ssh_command(node)
        if argv[0] == "ssh" or not command:
            argv += command
        else:  # a local node: what ssh does with several words
            argv += ["-c", " ".join(command)]
    sys.stdout.flush()
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        raise Unreachable(f"{argv[0]} cannot be run: {error.strerror}") from error
