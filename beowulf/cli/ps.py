"""``beowulf ps``"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from beowulf.cli.common import Said, common, emit, example, table

STATE = 3  # the column that is coloured


@click.command(epilog=example("beowulf ps", "beowulf ps -a --user $USER --watch"))
@click.option("--all", "-a", "every", is_flag=True, help="Ended ones too.")
@click.option("--user", default="", help="Only this user's.")
@click.option("--state", default="", help="Only these: PENDING,RUNNING,…")
@click.option("--watch", "-w", is_flag=True, help="Again every two seconds, until Ctrl-C.")
@common
@click.pass_obj
def ps(said: Said, every: bool, user: str, state: str, watch: bool) -> None:
    """List jobs that wait or run."""
    with said.client() as client:
        while True:
            jobs = client.jobs(state=state or ("" if every else "live"), owner=user)
            if watch and not said.json:
                click.clear()
            show_jobs(said, jobs)
            if not watch:
                return
            time.sleep(2.0)


def show_jobs(said: Said, jobs: Sequence[Mapping[str, Any]]) -> None:
    from beowulf.views import JOB_COLUMNS, job_rows

    if said.json:
        emit("jobs", jobs=list(jobs))
    else:
        table(JOB_COLUMNS, job_rows(jobs, time.time()), colour=STATE)
