"""``beowulf show``"""

from __future__ import annotations

import time

import click

from beowulf.cli.common import Said, common, emit, example, pairs, table
from beowulf.cli.ps import show_jobs


@click.command(epilog=example("beowulf show 17"))
@click.argument("job")
@common
@click.pass_obj
def show(said: Said, job: str) -> None:
    """Everything about one job: what was asked, its attempts, its latest reports; of an array, its tasks."""
    from beowulf.views import job_details

    with said.client() as client:
        found = client.job(job)
        if "tasks" in found:
            show_jobs(said, found["tasks"])
            return
        reports = client.reports(job)
    if said.json:
        emit("job", job=found, reports=reports)
        return
    details = job_details(found, reports, now=time.time())
    click.echo(details.sentence)
    if details.first_failure:
        click.echo(f"{details.first_failure}.")
    click.echo("")
    pairs(details.facts)
    for part in (details.timeline, details.attempts, details.reports):
        if part.rows:
            click.echo(f"\n{part.title}")
            table(part.columns, part.rows)
