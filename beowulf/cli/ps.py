"""``beowulf ps``"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import click

from beowulf.cli.common import Said, common, emit, example, say, table
from beowulf.cli.completing import of_jobs
from beowulf.model.errors import Unreachable

EVERY_S = 2.0
STATE = 3  # the column that is coloured


@click.command(epilog=example("beowulf ps", "beowulf ps -a --user $USER --watch"))
@click.option("--all", "-a", "every", is_flag=True, help="Ended ones too.")
@click.option("--user", default="", shell_complete=of_jobs("owner"), help="Only this user's.")
@click.option("--state", default="", help="Only these: PENDING,RUNNING,…")
@click.option("--watch", "-w", is_flag=True, help="Again every two seconds, until Ctrl-C.")
@common
@click.pass_obj
def ps(said: Said, every: bool, user: str, state: str, watch: bool) -> None:
    """List jobs that wait or run."""
    with said.client() as client:
        ask = partial(client.jobs, state=state or ("" if every else "live"), owner=user)
        show_jobs(said, ask())
        while watch:
            time.sleep(EVERY_S)
            _again(said, ask)


def _again(said: Said, ask: Callable[[], Sequence[Mapping[str, Any]]]) -> None:
    """The screen anew; a head that is away is said, and waited for."""
    try:
        jobs = ask()
    except Unreachable as error:
        say(f"{time.strftime('%H:%M:%S')}  {error.message}")
        return
    if not said.json:
        click.clear()
    show_jobs(said, jobs)


def show_jobs(said: Said, jobs: Sequence[Mapping[str, Any]]) -> None:
    from beowulf.views import JOB_COLUMNS, job_rows

    if said.json:
        emit("jobs", jobs=list(jobs))
    else:
        table(JOB_COLUMNS, job_rows(jobs, time.time()), colour=STATE)
