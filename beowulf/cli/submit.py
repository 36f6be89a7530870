"""``beowulf submit``"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from beowulf.cli.common import Said, common, emit, example, pairs, say, table
from beowulf.cli.job_options import job_options, overrides
from beowulf.client.submitting import hand_in, packed_spec, read_text

if TYPE_CHECKING:
    from beowulf.client import Client
    from beowulf.specs.job import JobRequest

NEVER_FITS = 4


@click.command(
    epilog=example("beowulf submit jobs/hello-mpi.yaml --num-nodes 2 --wait", "beowulf submit --dry-run x.yaml")
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--wait", is_flag=True, help="Show its log, and end with its exit code.")
@click.option("--dry-run", is_flag=True, help="Say where it would run, and queue nothing.")
@click.option("--key", default="", help="Submitting again with the same key answers with the same job.")
@job_options
@common
@click.pass_obj
def submit(said: Said, file: Path, wait: bool, dry_run: bool, key: str) -> int:
    """Queue the job that FILE describes; prints its id.

    Options win over the file's keys. Folders are read from where you are now.
    """
    from beowulf.specs.job import parse_job

    request = parse_job(read_text(file), name=str(file), overrides=overrides())
    return queue(said, request, wait=wait, dry_run=dry_run, key=key)


def queue(
    said: Said, request: JobRequest, *, wait: bool, dry_run: bool = False, key: str = "", quiet: bool = False
) -> int:
    """Hands the job in; → the exit code."""
    spec, folders = packed_spec(request)
    with said.client() as client:
        if dry_run:
            return _plan(said, client.dry_run(spec, request.array))
        hand_in(client, folders, say)
        job_id = client.submit(spec, request.array, key=key)
        if not quiet:
            emit("submit", job_id=job_id) if said.json else click.echo(job_id)
        return _watch(client, job_id) if wait else 0


def _watch(client: Client, job_id: str) -> int:
    from beowulf.cli.outcome import see_through

    return see_through(client, job_id)


def _plan(said: Said, answer: dict[str, Any]) -> int:
    burst: dict[str, Any] = answer.get("burst") or {}
    rented = any(one["chosen"] for one in burst.get("offers", ()))
    possible = answer["fits"] or answer["fits_idle"] or rented
    if said.json:
        emit("plan", **answer)
        return 0 if possible else NEVER_FITS
    if answer["fits"]:
        click.echo(
            "would start now" if answer["tasks"] == 1 else f"the first of {answer['tasks']} tasks would start now"
        )
    elif answer["fits_idle"]:
        click.echo(f"would wait: {answer['reason']}")
    else:
        click.echo(f"cannot run here: {answer.get('reason_idle') or answer['reason']}")
    if burst and not answer["fits"]:
        _compare(burst, rented)
    _commands(answer.get("commands", ()))
    return 0 if possible else NEVER_FITS


def _compare(burst: dict[str, Any], rented: bool) -> None:
    """Here and what is on offer, side by side, and the reason."""
    from beowulf.views import printable
    from beowulf.views.burst import COMPARISON_COLUMNS, comparison_rows

    table(COMPARISON_COLUMNS, comparison_rows(burst))
    click.echo(f"{'would rent' if rented else 'would rent nothing'}: {printable(burst['sentence'])}")


def _commands(commands: Sequence[dict[str, Any]]) -> None:
    import shlex

    from beowulf.views import printable

    pairs((f"{one['node']} {one['process']}", printable(shlex.join(one["argv"]))) for one in commands)
