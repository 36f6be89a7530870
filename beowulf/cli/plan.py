"""``beowulf plan``: what would become of a job, or what the queue starts next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from beowulf.cli.common import Said, common, emit, example, say, table
from beowulf.cli.job_options import job_options, overrides
from beowulf.cli.progress import waiting
from beowulf.client.submitting import packed_spec, read_text

if TYPE_CHECKING:
    from beowulf.specs.job import JobRequest

NEVER_FITS = 4


@click.command(
    epilog=example(
        "beowulf plan jobs/digits-torchrun.yaml", "beowulf plan train.yaml --num-nodes 8 --json", "beowulf plan"
    )
)
@click.argument("file", type=click.Path(path_type=Path), required=False)
@job_options
@common
@click.pass_obj
def plan(said: Said, file: Path | None) -> int:
    """What would become of FILE's job: where it would run, each command, what travels, what it costs. Queues nothing.

    Without FILE: who of the queue starts when, if nothing new comes. Ends with 4 for a job that can never run here.
    """
    from beowulf.specs.job import parse_job

    if file is None:
        return _next_starts(said)
    return foretell(said, parse_job(read_text(file), name=str(file), overrides=overrides()))


def foretell(said: Said, request: JobRequest) -> int:
    """Also `beowulf submit --dry-run`."""
    with waiting("reading what would travel"):
        spec, _ = packed_spec(request)
    with said.client() as client:
        answer = client.dry_run(spec, request.array)
    burst: dict[str, Any] = answer.get("burst") or {}
    rented = any(one["chosen"] for one in burst.get("offers", ()))
    code = 0 if answer["fits"] or answer["fits_idle"] or rented else NEVER_FITS
    if said.json:
        emit("plan", **answer)
        return code
    _show(answer, burst)
    return code


def _show(answer: dict[str, Any], burst: dict[str, Any]) -> None:
    from beowulf.views.burst import COMPARISON_COLUMNS, comparison_rows, comparison_words
    from beowulf.views.plan import plan_lines

    first, *rest = plan_lines(answer)
    click.echo(first)
    if burst and not answer["fits"]:
        table(COMPARISON_COLUMNS, comparison_rows(burst))
        for line in comparison_words(burst):
            click.echo(line)
    for line in rest:
        click.echo(line)


def _next_starts(said: Said) -> int:
    from beowulf.views.plan import NEXT_COLUMNS, next_rows

    with said.client() as client:
        answer = client.next_starts()
    if said.json:
        emit("next-starts", **answer)
        return 0
    rows = next_rows(answer)
    if rows:
        table(NEXT_COLUMNS, rows)
    if answer["waiting"]:
        more = f"{answer['waiting']} {'more wait' if rows else 'wait'}, and nobody knows for how long: beowulf why JOB"
        say(more)
    elif not rows:
        say("nobody waits")
    return 0
