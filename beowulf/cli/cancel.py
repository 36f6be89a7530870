"""``beowulf cancel``"""

from __future__ import annotations

import click

from beowulf.cli.common import Said, common, emit, example, one_by_one
from beowulf.cli.completing import live_jobs


@click.command(epilog=example("beowulf cancel 17 18_3"))
@click.argument("jobs", nargs=-1, required=True, metavar="JOB...", shell_complete=live_jobs)
@common
@click.pass_obj
def cancel(said: Said, jobs: tuple[str, ...]) -> int:
    """End jobs; an array's id means all its tasks. They get TERM, then, after their grace, KILL."""
    with said.client() as client:
        done, code = one_by_one(jobs, client.cancel)
    if said.json:
        emit("cancel", cancelled=done)
    else:
        for job in done:
            click.echo(job)
    return code
