"""``beowulf fetch``"""

from __future__ import annotations

from pathlib import Path

import click

from beowulf.cli.common import Said, common, emit, example
from beowulf.cli.completing import ended_jobs
from beowulf.cli.progress import carried
from beowulf.model.errors import BadInput


@click.command(epilog=example("beowulf fetch 17 results/"))
@click.argument("job", shell_complete=ended_jobs)
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@common
@click.pass_obj
def fetch(said: Said, job: str, folder: Path | None) -> None:
    """Bring what the job left under its `outputs:` into FOLDER (outputs-JOB when not given)."""
    into = folder or Path(f"outputs-{job}")
    if into.exists() and not into.is_dir():
        raise BadInput("is there already, and is no folder", where=str(into), hint=f"beowulf fetch {job} FOLDER")
    with said.client() as client:
        paths = client.outputs(job, into, lambda pieces, total: carried("fetching", pieces, total or None))
    if said.json:
        emit("fetch", job_id=job, folder=str(into), paths=paths)
        return
    from beowulf.views import printable

    for path in paths:
        click.echo(printable(into / path))
