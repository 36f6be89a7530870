"""``beowulf completion``"""

from __future__ import annotations

import click

from beowulf.cli.common import example


@click.command(epilog=example('eval "$(beowulf completion bash)"', "beowulf completion fish | source"))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """A script for your shell's start-up file that completes verbs, options, jobs and nodes."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(context.find_root().command, {}, "beowulf", "_BEOWULF_COMPLETE").source())
