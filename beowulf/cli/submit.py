"""``beowulf submit``"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from beowulf.cli.common import Said, common, emit, example, say
from beowulf.cli.job_options import job_options, overrides
from beowulf.cli.plan import foretell
from beowulf.cli.progress import carried, waiting
from beowulf.client.submitting import hand_in, packed_spec, read_text

if TYPE_CHECKING:
    from beowulf.client import Client
    from beowulf.specs.job import JobRequest


@click.command(
    epilog=example("beowulf submit jobs/hello-mpi.yaml --num-nodes 2 --wait", "beowulf submit --dry-run x.yaml")
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--wait", is_flag=True, help="Show its log, and end with its exit code.")
@click.option("--dry-run", is_flag=True, help="Say what would become of it, as `beowulf plan` does, and queue nothing.")
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
    if dry_run:
        return foretell(said, request)
    with waiting("reading what travels along"):
        spec, folders = packed_spec(request)
    with said.client() as client:
        hand_in(client, folders, say, carried)
        job_id, warning = client.submitted(spec, request.array, key=key)
        warn(job_id, warning)
        if said.json:
            return _told(client, job_id, wait)
        if not quiet:
            click.echo(job_id)
        return _watch(client, job_id) if wait else 0


def warn(job_id: str, warning: str) -> None:
    """At once: else its owner learns tomorrow that it never began."""
    if warning:
        say(f"job {job_id} cannot start on the nodes as they are: {warning}; beowulf why {job_id}")


def _told(client: Client, job_id: str, wait: bool) -> int:
    """The one JSON object, after the job's end where that is waited for; its log is not shown then."""
    from beowulf.cli.outcome import awaited

    if not wait:
        emit("submit", job_id=job_id)
        return 0
    code = awaited(client, job_id)
    emit("submit", job_id=job_id, exit_code=code)
    return code


def _watch(client: Client, job_id: str) -> int:
    from beowulf.cli.outcome import see_through

    return see_through(client, job_id)
