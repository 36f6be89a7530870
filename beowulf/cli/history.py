"""``beowulf history``"""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from beowulf.cli.common import Said, common, emit, example, say, table
from beowulf.cli.completing import ENDED, arrays, of_jobs
from beowulf.cli.ps import show_jobs
from beowulf.model.errors import BadInput

EXAMPLES = (
    "beowulf history --limit 20",
    "beowulf history --state FAILED --json",
    "beowulf history --by project",
    "beowulf history --limit 1000 --csv > jobs.csv",
    "beowulf history --array 17 --sort accuracy",
    "beowulf history --array 17 --sort loss --csv > sweep.csv",
)


@click.command(epilog=example(*EXAMPLES))
@click.option("--limit", "-n", type=click.IntRange(1), default=50, show_default=True, help="Only the newest.")
@click.option("--user", default="", shell_complete=of_jobs("owner"), help="Only this user's.")
@click.option("--name", default="", shell_complete=of_jobs("name"), help="Only jobs of this name.")
@click.option("--state", default=ENDED, help="Only these results.")
@click.option(
    "--array", metavar="ID", default="", shell_complete=arrays, help="An array's tasks beside what each reported last."
)
@click.option("--sort", metavar="KEY", default="", help="With --array: best first by this value (lowest for a loss).")
@click.option("--lowest/--highest", default=None, help="With --sort: which end of the values is the best.")
@click.option("--by", type=click.Choice(["user", "project", "queue", "name"]), help="What each used, summed up.")
@click.option("--csv", "as_csv", is_flag=True, help="With commas between, and every figure in full.")
@common
@click.pass_obj
def history(
    said: Said,
    limit: int,
    user: str,
    name: str,
    state: str,
    array: str,
    sort: str,
    lowest: bool | None,
    by: str | None,
    as_csv: bool,
) -> None:
    """List jobs that have ended, oldest first; how an array's tasks compare; or who used what."""
    if not array and (sort or lowest is not None):
        raise BadInput("--sort, --lowest and --highest go with --array ID")
    if array and by:
        raise BadInput("--array and --by do not go together")
    from beowulf.views.usage import offered_thread_s

    with said.client() as client:
        if array:
            _show_sweep(said, client.values(array), array, sort, lowest, as_csv)
        elif by:
            newest = client.jobs(state=state, owner=user, name=name)
            cost = client.cost(by=by) if by in ("user", "project") else {"lines": ()}
            _show_used(said, newest, cost, offered_thread_s(client.nodes(), newest, time.time()), by, as_csv)
        else:
            _show_ended(said, client.jobs(state=state, owner=user, name=name, limit=limit), as_csv)


def _show_ended(said: Said, jobs: Sequence[Mapping[str, Any]], as_csv: bool) -> None:
    from beowulf.views import kept_starts
    from beowulf.views.usage import ENDED_FIELDS, ended_rows

    if as_csv and not said.json:
        _write_csv([ENDED_FIELDS, *ended_rows(jobs)])
        return
    show_jobs(said, jobs)
    kept = kept_starts(jobs)
    if kept and not said.json:
        say(kept)


def _show_used(
    said: Said, jobs: Sequence[Mapping[str, Any]], cost: dict[str, Any], offered_s: float, by: str, as_csv: bool
) -> None:
    """All ended jobs that the head remembers; rented machines of this month."""
    from dataclasses import asdict

    from beowulf.views.usage import USAGE_COLUMNS, usage_rows, used

    found = used(jobs, by)
    rented = {str(line["name"]): float(line["cost_usd"]) for line in cost["lines"]}
    if said.json:
        told = {name: asdict(one) for name, one in found.items()}
        emit("usage", by=by, used=told, rented_usd=rented, offered_thread_s=offered_s)
        return
    rows = usage_rows(found, rented, offered_s)
    if as_csv:
        _write_csv([(by.upper(), *USAGE_COLUMNS), *rows])
        return
    table((by.upper(), *USAGE_COLUMNS), rows)


def _show_sweep(
    said: Said, tasks: Sequence[Mapping[str, Any]], array: str, sort: str, lowest: bool | None, as_csv: bool
) -> None:
    from beowulf.views.sweep import best_first, lowest_first, reported_keys, sweep_table

    keys = reported_keys(tasks)
    if sort and sort not in keys:
        reported = ", ".join(keys) or "nothing so far"
        raise BadInput(f"no task of {array} reported {sort!r} (reported: {reported})", where="--sort")
    low = lowest_first(sort) if lowest is None else lowest
    ordered = best_first(tasks, sort, lowest=low) if sort else tasks
    if said.json:
        emit("sweep", array=array, sort=sort, lowest_first=bool(sort) and low, tasks=ordered)
        return
    shown = sweep_table(ordered, sort, every=as_csv)
    if as_csv:
        _write_csv([shown.columns, *shown.rows])
        return
    table(shown.columns, shown.rows, colour=1)
    if not keys:
        say("no task reported anything: a task appends JSON lines to the file that BEOWULF_REPORT names")


def _write_csv(rows: list[tuple[str, ...]]) -> None:
    csv.writer(sys.stdout, lineterminator="\n").writerows(rows)
