"""Why a job waits or ended so: one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from beowulf.views.amounts import clock_time, in_local_time, lasted
from beowulf.views.fields import Json, inner, items, number, text
from beowulf.views.jobs import job_nodes, job_word
from beowulf.views.text import printable


def why_sentence(job: Json) -> str:
    """The scheduler's or the controller's own sentence, put into a whole one. Always ends with a full stop."""
    word, reason = job_word(job), printable(in_local_time(text(job, "reason"))).rstrip(".")
    who = f"job {printable(text(job, 'id'))} ({printable(text(inner(job, 'spec'), 'name') or text(job, 'name'))})"
    if word == "PENDING":
        return f"{who} waits: {reason or 'the scheduler has not looked at it yet'}."
    if word in {"CONFIGURING", "RUNNING"}:
        doing = "is being prepared" if word == "CONFIGURING" else "runs"
        return f"{who} {doing} on {job_nodes(job)}{f': {reason}' if reason else ''}."
    if word == "COMPLETING":
        return f"{who} is ending: {reason or 'its nodes are being cleared'}."
    by = printable(text(job, "cancelled_by"))
    return f"{who} ended {word}{f' by {by}' if word == 'CANCELLED' and by else ''}{f': {reason}' if reason else ''}."


def why_outlook(answer: Json, *, utc: bool = False) -> list[str]:
    """Of an answer to ``why``: each circumstance that holds the job up, when it starts, and what would start it."""
    lines = []
    limits = items(answer, "limits")
    if len(limits) > 1 or any(text(limit, "sentence") not in text(answer, "sentence") for limit in limits):
        lines += [f"  {_limit(limit)}" for limit in limits]
    at = number(answer, "starts_at")
    if at:
        lines.append(f"It starts at {clock_time(at, utc=utc)} as it is, if nothing new comes.{_score(answer)}")
    lines += _promise(answer, utc)
    if number(answer, "ends_at"):
        lines.append(f"It ends by {clock_time(number(answer, 'ends_at'), utc=utc)}, {_grounds(answer)}.")
    if text(answer, "burst"):
        lines.append(f"Renting: {printable(in_local_time(text(answer, 'burst')))}.")
    tips = [printable(str(tip)) for tip in items(answer, "suggestions")]
    lines += ["Submitted anew, it starts now:", *(f"  {tip}" for tip in tips)] if tips else []
    return lines


def _promise(answer: Json, utc: bool) -> list[str]:
    """The first start that was promised, and how true it was."""
    promised, error_s = number(answer, "promised_at"), answer.get("start_error_s")
    if not promised:
        return []
    told = f"Its first reservation was for {clock_time(promised, utc=utc)}"
    if not isinstance(error_s, (int, float)):
        return [f"{told}."]
    kept = f"{lasted(abs(error_s))} {'later' if error_s > 0 else 'earlier'}" if error_s else "at that very moment"
    return [f"{told}; it started {kept}."]


def _score(answer: Json) -> str:
    kept = inner(answer, "kept")
    if not kept:
        return ""
    jobs, late = int(number(kept, "jobs")), int(number(kept, "late"))
    return f" (Of {jobs} promised starts half were off by up to {lasted(number(kept, 'error_s'))}; {late} came late.)"


def kept_starts(jobs: Sequence[Json]) -> str:
    """How true the promised starts of these jobs were, in a sentence; "" where none was promised one."""
    errors = [
        abs(number(job, "first_started_at") - number(job, "promised_at"))
        for job in jobs
        if number(job, "promised_at") and number(job, "first_started_at")
    ]
    many = f"{len(errors)} of them were promised a start" if len(errors) > 1 else "1 of them was promised a start"
    return f"{many}: off by {lasted(median(errors))} (median)" if errors else ""


def _grounds(answer: Json) -> str:
    guess = inner(answer, "estimate")
    if not guess:
        return "its limit"
    told = f"to go by {int(number(guess, 'runs'))} earlier runs of its name and user"
    error = guess.get("error")
    return f"{told} (such estimates were off by {error:.0%})" if isinstance(error, float) else told


def _limit(limit: Json) -> str:
    words = f"{text(limit, 'circumstance')}: {text(limit, 'code')}: {text(limit, 'sentence')}"
    return printable(in_local_time(words))


def free_from(answer: Json, *, utc: bool = False) -> dict[str, str]:
    """When each node has room for the job, by the ends that are known."""
    return {text(one, "node"): clock_time(number(one, "at"), utc=utc) for one in items(answer, "frees")}
