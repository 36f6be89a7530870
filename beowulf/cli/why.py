"""``beowulf why``"""

from __future__ import annotations

import click

from beowulf.cli.common import Said, common, emit, example, prose, table
from beowulf.cli.completing import any_jobs


@click.command(epilog=example("beowulf why 17"))
@click.argument("job", shell_complete=any_jobs)
@common
@click.pass_obj
def why(said: Said, job: str) -> None:
    """Why a job waits: every reason, when it will start, and what would start it now; or why it ended so."""
    from beowulf.views import free_from, in_local_time, printable, why_outlook

    with said.client() as client:
        answer = client.why(job)
    if said.json:
        emit("why", **answer)
        return
    prose(f"job {answer['job_id']} {answer['word']}: {printable(in_local_time(answer['sentence']))}")
    if answer["word"] == "FAILED":
        prose(f"What it printed: beowulf logs {answer['job_id']}")
    if answer.get("when_idle"):
        prose(f"Not even the idle cluster could run it: {printable(in_local_time(answer['when_idle']))}")
    for line in why_outlook(answer):
        words = line.lstrip()
        prose(words, line[: len(line) - len(words)])
    ahead = answer.get("ahead") or []
    if ahead:
        click.echo(f"{len(ahead)} ahead of it in the queue: {', '.join(ahead[:10])}{', …' if len(ahead) > 10 else ''}")
    if answer.get("nodes"):
        click.echo("")
        free = free_from(answer)
        answers = ((one["node"], in_local_time(one["answer"])) for one in answer["nodes"])
        rows = ((node, free.get(node, "-"), printable(told)) for node, told in answers)
        table(("NODE", "ROOM FROM", "ANSWER"), rows)
