"""``beowulf run``"""

from __future__ import annotations

import click

from beowulf.cli.common import Said, common, example
from beowulf.cli.job_options import job_options, overrides
from beowulf.cli.submit import queue


@click.command(
    context_settings={"allow_interspersed_args": False},
    epilog=example("beowulf run --nodes 4 -- hostname", "beowulf run --gpus 1 --workdir . -- python train.py"),
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--detach", "-d", is_flag=True, help="Print the job's id and leave.")
@job_options
@common
@click.pass_obj
def run(said: Said, command: tuple[str, ...], detach: bool) -> int:
    """Run COMMAND once per rank, exactly these arguments, and show what it prints.

    Ends with the command's own exit code. Ctrl-C leaves the job running.
    """
    from beowulf.specs.job import command_job

    request = command_job(command, overrides=overrides())
    return queue(said, request, wait=not detach, quiet=not detach)
