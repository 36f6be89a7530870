"""``beowulf logs``"""

from __future__ import annotations

import click

from beowulf.cli.common import Said, common, emit, example
from beowulf.cli.completing import any_jobs


@click.command(epilog=example("beowulf logs -f 17", "beowulf logs --rank 0 17_3"))
@click.argument("job", shell_complete=any_jobs)
@click.option("--follow", "-f", is_flag=True, help="Go on until the job has ended.")
@click.option("--rank", "-r", default="", help="Only this rank, or setup, mpirun, torchrun.")
@click.option("--attempt", type=click.IntRange(1), default=None, help="An earlier attempt than the newest.")
@click.option("--tail", "-n", type=click.IntRange(0), default=None, help="Only the last lines.")
@common
@click.pass_obj
def logs(said: Said, job: str, follow: bool, rank: str, attempt: int | None, tail: int | None) -> None:
    """What a job printed. Lines of several ranks begin with [RANK]."""
    from beowulf.cli.outcome import follow_log
    from beowulf.cli.printing import show_log

    with said.client() as client:
        if said.json:
            text: dict[str, bytearray] = {}
            for chunk in client.logs(job, process=rank, attempt=attempt or 0, tail=tail):
                text.setdefault(chunk.process, bytearray()).extend(chunk.data)
            emit("logs", job_id=job, logs={name: data.decode("utf-8", "replace") for name, data in text.items()})
            return
        if follow:
            follow_log(client, job, process=rank, attempt=attempt or 0, tail=tail)
        else:
            show_log(client, client.logs(job, process=rank, attempt=attempt or 0, tail=tail), job, process=rank)
