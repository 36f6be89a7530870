"""``beowulf history``"""

from __future__ import annotations

import click

from beowulf.cli.common import Said, common, example
from beowulf.cli.ps import show_jobs

ENDED = "COMPLETED,FAILED,CANCELLED,TIMEOUT,NODE_FAIL,PREEMPTED,OUT_OF_MEMORY"


@click.command(epilog=example("beowulf history --limit 20", "beowulf history --state FAILED --json"))
@click.option("--limit", "-n", type=click.IntRange(1), default=50, show_default=True, help="Only the newest.")
@click.option("--user", default="", help="Only this user's.")
@click.option("--name", default="", help="Only jobs of this name.")
@click.option("--state", default=ENDED, help="Only these results.")
@common
@click.pass_obj
def history(said: Said, limit: int, user: str, name: str, state: str) -> None:
    """List jobs that have ended, oldest first."""
    with said.client() as client:
        show_jobs(said, client.jobs(state=state, owner=user, name=name, limit=limit))
