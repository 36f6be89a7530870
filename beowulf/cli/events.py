"""``beowulf events``"""

from __future__ import annotations

import json
from collections import deque

import click

from beowulf.cli.common import Said, common, example
from beowulf.cli.completing import any_jobs


@click.command(epilog=example("beowulf events -n 20", "beowulf events -f", "beowulf events --job 17 --json"))
@click.option("--follow", "-f", is_flag=True, help="Go on as they come, until Ctrl-C.")
@click.option("--job", default="", shell_complete=any_jobs, help="Only of this job.")
@click.option("--after", type=click.IntRange(0), default=0, help="Only those after this number.")
@click.option(
    "--limit",
    "-n",
    type=click.IntRange(0),
    default=0,
    help="The newest so many; with --after or -f, the next.",
)
@common
@click.pass_obj
def events(said: Said, follow: bool, job: str, after: int, limit: int) -> None:
    """Everything that happened, in order: each change of state has an event. With --json, one object per line."""
    from beowulf.views import clock_time
    from beowulf.views.events import event_row

    with said.client() as client:
        newest = limit and not after and not follow
        found = client.events(after, limit=0 if newest else limit, job_id=job, follow=follow)
        for event in deque(found, limit) if newest else found:
            if said.json:
                click.echo(json.dumps({"schema": "beowulf.event/1", **event}))
                continue
            row = event_row(event)
            click.echo(f"{event['seq']}  {clock_time(event['at'])}  {row.event}  {row.about}  {row.what}".rstrip())
