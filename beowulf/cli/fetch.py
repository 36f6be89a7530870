"""``beowulf fetch``"""

from __future__ import annotations

from pathlib import Path

import click

from beowulf.cli.common import Said, common, emit, example


@click.command(epilog=example("beowulf fetch 17 results/"))
@click.argument("job")
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@common
@click.pass_obj
def fetch(said: Said, job: str, folder: Path | None) -> None:
    """Bring what the job left under its ``outputs:`` into FOLDER (outputs-JOB when not given)."""
    into = folder or Path(f"outputs-{job}")
    with said.client() as client:
        paths = client.outputs(job, into)
    if said.json:
        emit("fetch", job_id=job, folder=str(into), paths=paths)
        return
    from beowulf.views import printable

    for path in paths:
        click.echo(printable(into / path))
