"""Everything about one job, as ``beowulf show`` prints it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import NamedTuple

from beowulf.views.amounts import clock_time, lasted
from beowulf.views.fields import Json, inner, items, number, text
from beowulf.views.hosts import compress_hosts
from beowulf.views.jobs import attempt_nodes, job_word, newest_attempt
from beowulf.views.table import Table
from beowulf.views.text import printable
from beowulf.views.timeline import timeline
from beowulf.views.why import why_sentence

# What a training script is most likely to say, in the order people look for it.
TELLING_KEYS = ("epoch", "step", "loss", "accuracy", "samples", "step_time_s")


class JobDetails(NamedTuple):
    sentence: str
    facts: tuple[tuple[str, str], ...]  # (label, value)
    timeline: Table
    attempts: Table
    reports: Table  # newest of each rank; no rows where ranks reported nothing
    first_failure: str  # "rank 2 on n3 was ended by signal 9"; "" where none failed or the sentence says so


def job_details(
    job: Json, reports: Sequence[Json] = (), *, now: float, utc: bool = False, checkpoints: Sequence[Json] = ()
) -> JobDetails:
    """``reports``: the stored reports of the newest attempt, oldest first (``rank``, ``body``). ``checkpoints``: the
    ``CheckpointKept`` events."""
    sentence, failed = why_sentence(job), first_failure(newest_attempt(job))
    return JobDetails(
        sentence=sentence,
        facts=tuple((label, printable(value)) for label, value in _facts(job, utc) if value),
        timeline=timeline(job, checkpoints, now=now, utc=utc),
        attempts=_attempts(job, now),
        reports=_reports(reports),
        first_failure="" if failed in sentence else failed,
    )


def first_failure(attempt: Json) -> str:
    """The rank that failed first, by the head's clock: the others usually fell because it did."""
    failed = [one for one in items(attempt, "exits") if number(one, "code") or number(one, "signal")]
    if not failed:
        return ""
    first = min(failed, key=lambda one: number(one, "at"))
    process = text(first, "process")
    who = f"rank {process}" if process.isdigit() else process
    signal = int(number(first, "signal"))
    how = f"was ended by signal {signal}" if signal else f"ended with exit code {int(number(first, 'code'))}"
    return printable(f"{who} on {text(first, 'node')} {how}")


def _facts(job: Json, utc: bool) -> list[tuple[str, str]]:
    spec = inner(job, "spec")
    resources = inner(spec, "resources")
    wants = [
        f"{int(number(resources, name))} {label}"
        for name, label in (("cpus", "threads"), ("gpus", "GPUs"))
        if number(resources, name)
    ]
    command = shlex.join(map(str, items(spec, "argv"))) or text(spec, "script").strip().replace("\n", "; ")
    workdir = inner(spec, "workdir")
    return [
        ("Job", text(job, "id")),
        ("Name", text(spec, "name")),
        ("User", text(job, "owner")),
        ("State", job_word(job)),
        ("Launcher", text(spec, "launcher")),
        ("Command", command),
        ("Per node", ", ".join(wants)),
        ("Queue", text(spec, "queue")),
        ("Project", text(spec, "project")),
        ("Work folder", text(workdir, "source")),
        ("Outputs", _outputs(job)),
        ("Removed", text(job, "let_go")),
        ("Checkpoint", _checkpoint(job)),
        ("Promised start", clock_time(number(job, "promised_at"), utc=utc) if number(job, "promised_at") else ""),
        ("Retries", f"{int(number(job, 'retries'))}" if number(job, "retries") else ""),
    ]


def _checkpoint(job: Json) -> str:
    """The newest one the head holds: what the next attempt would go on from."""
    kept = inner(job, "checkpoint")
    step = int(number(kept, "step"))
    return f"{f'step {step}' if step else 'kept'}, made by {text(kept, 'node')}" if kept else ""


def _outputs(job: Json) -> str:
    """Which were asked for and, once they are at the head, the command that brings them here."""
    asked = ", ".join(map(str, items(inner(job, "spec"), "outputs")))
    ended = asked and number(job, "ended_at") and not text(job, "let_go")
    return f"{asked} (at the head; bring them here: beowulf fetch {text(job, 'id')})" if ended else asked


def _attempts(job: Json, now: float) -> Table:
    rows = []
    for attempt in items(job, "attempts"):
        started = number(attempt, "started_at")
        ran = lasted((number(attempt, "ended_at") or now) - started) if started else "-"
        nodes = compress_hosts(attempt_nodes(attempt))
        end = text(attempt, "ending") or ("ended" if number(attempt, "ended_at") else "current")
        said, failed = text(attempt, "reason"), first_failure(attempt)
        reason = " · ".join(filter(None, (said, "" if failed in said else failed)))
        rows.append(tuple(map(printable, (text(attempt, "number"), nodes, ran, end, reason))))
    return Table("Attempts", ("ATTEMPT", "NODES", "RAN", "END", "REASON"), tuple(rows))


def _reports(reports: Sequence[Json]) -> Table:
    """The latest value of every key, per rank."""
    latest: dict[int, dict[str, object]] = {}
    for report in reports:
        latest.setdefault(int(number(report, "rank")), {}).update(inner(report, "body"))
    said = {key for values in latest.values() for key in values}
    columns = [key for key in TELLING_KEYS if key in said] + sorted(said - set(TELLING_KEYS))[:4]
    rows = ((str(rank), *(_reported(latest[rank].get(key, "")) for key in columns)) for rank in sorted(latest))
    return Table("Reports", ("RANK", *(printable(key).upper() for key in columns)), tuple(rows) if columns else ())


def _reported(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else printable(value)
