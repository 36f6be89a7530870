"""``beowulf show``"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from beowulf.cli.common import Said, common, emit, example, pairs, prose, room, table
from beowulf.cli.completing import any_jobs
from beowulf.cli.ps import show_jobs

if TYPE_CHECKING:
    from beowulf.client import Client
    from beowulf.split.straggler import Straggler

LAST_REPORTS = 1000
WIDTH, TITLES, NARROW = 60, 28, 20  # of a drawing; of what stands beside it; the least of one


@click.command(epilog=example("beowulf show 17"))
@click.argument("job", shell_complete=any_jobs)
@common
@click.pass_obj
def show(said: Said, job: str) -> None:
    """Everything about one job: what was asked, its life step by step, how busy its machines were, its latest reports,
    which rank holds the others back; of an array, its tasks."""
    with said.client() as client:
        found = client.job(job)
        if "tasks" in found:
            show_jobs(said, found["tasks"])
            return
        reports = client.reports(job, last=LAST_REPORTS)
        slow = _straggler(client, found, reports)
        course = client.course(job)
        kept = _checkpoints(client, found)
    if said.json:
        told = asdict(slow) if slow else None
        emit("job", job=found, reports=reports, straggler=told, course=course, checkpoints=kept)
        return
    _tell(found, reports, slow, course, kept)


def _tell(
    job: Mapping[str, Any],
    reports: Sequence[Mapping[str, Any]],
    slow: Straggler | None,
    course: Mapping[str, Any],
    kept: Sequence[Mapping[str, Any]],
) -> None:
    from beowulf.views import job_details
    from beowulf.views.course import course_table

    details = job_details(job, reports, now=time.time(), checkpoints=kept)
    prose(details.sentence)
    for sentence in (details.first_failure, slow.sentence if slow else ""):
        if sentence:
            prose(f"{sentence}.")
    click.echo("")
    pairs(details.facts)
    for part in (details.timeline, details.attempts, course_table(course, _width()), details.reports):
        if part.rows:
            click.echo(f"\n{part.title}")
            table(part.columns, part.rows)


def _width() -> int:
    """Of a drawing."""
    return max(room() - TITLES, NARROW) if room() else WIDTH


def _straggler(client: Client, job: Mapping[str, Any], reports: Sequence[Mapping[str, Any]]) -> Straggler | None:
    """Asks for the nodes only where the ranks told how long their steps take."""
    if not any("compute_s" in report["body"] for report in reports):
        return None
    from beowulf.views.straggler import job_straggler

    return job_straggler(job, reports, client.nodes())


def _checkpoints(client: Client, job: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The events of those the head took, of a job that keeps any."""
    if not job["spec"].get("checkpoint"):
        return []
    return [event for event in client.events(job_id=job["id"]) if event["kind"] == "CheckpointKept"]
