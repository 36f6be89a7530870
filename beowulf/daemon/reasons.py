"""What the scheduler found about a job that waits, as the API answers it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from beowulf.model.job import Job
from beowulf.scheduler import End, Explanation


def why_answer(job: Job, found: Explanation) -> dict[str, Any]:
    sentence = f"{found.reason.code}: {found.reason.sentence}" if found.reason else "it starts with the next plan"
    return {
        "job_id": job.id,
        "word": job.word,
        "sentence": sentence,
        "ahead": list(found.ahead),
        "nodes": [{"node": node, "answer": said} for node, said in found.nodes],
        "when_idle": found.when_idle.sentence if found.when_idle else "",
        "limits": [
            {"circumstance": one.circumstance, "code": one.reason.code, "sentence": one.reason.sentence}
            for one in found.limits
        ],
        "frees": [{"node": node, "at": at} for node, at in found.frees],
        "starts_at": found.starts_at,
        "ends_at": found.ends_at,
        "estimate": asdict(found.estimate) if found.estimate else None,
        "suggestions": [one.words for one in found.suggestions],
    }


def end_answer(job: Job, sentence: str, end: End | None) -> dict[str, Any]:
    """Of a job that does not wait."""
    return {
        "job_id": job.id,
        "word": job.word,
        "sentence": sentence,
        "nodes": [],
        "ends_at": end.at if end else None,
        "estimate": asdict(end.estimate) if end and end.estimate else None,
    }
