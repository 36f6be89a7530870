"""``beowulf cancel``"""

from __future__ import annotations

import click

from beowulf.cli.common import Said, common, emit, example
from beowulf.cli.completing import live_jobs
from beowulf.model.errors import BeowulfError


@click.command(epilog=example("beowulf cancel 17 18_3"))
@click.argument("jobs", nargs=-1, required=True, metavar="JOB...", shell_complete=live_jobs)
@common
@click.pass_obj
def cancel(said: Said, jobs: tuple[str, ...]) -> int:
    """End jobs; an array's id means all its tasks. They get TERM, then, after their grace, KILL."""
    code = 0
    done: list[str] = []
    with said.client() as client:
        for job in jobs:
            try:
                done += client.cancel(job)
            except BeowulfError as error:  # the rest go on
                click.echo(f"beowulf: {error}", err=True)
                code = code or error.exit_code
    if said.json:
        emit("cancel", cancelled=done)
    else:
        for job in done:
            click.echo(job)
    return code
