"""Why a job waits or ended so: one sentence."""

from __future__ import annotations

from beowulf.views.fields import Json, inner, text
from beowulf.views.jobs import job_nodes, job_word
from beowulf.views.text import printable


def why_sentence(job: Json) -> str:
    """The scheduler's or the controller's own sentence, put into a whole one. Always ends with a full stop."""
    word, reason = job_word(job), printable(text(job, "reason")).rstrip(".")
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
