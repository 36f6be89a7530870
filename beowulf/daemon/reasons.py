"""What the scheduler found about a job that waits, as the API answers it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from beowulf.model.job import Job
from beowulf.scheduler import End, Explanation, Kept, start_error_s


def why_answer(job: Job, found: Explanation, kept: Kept | None) -> dict[str, Any]:
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
        **_promise(job, kept),
        "estimate": asdict(found.estimate) if found.estimate else None,
        "suggestions": [one.words for one in found.suggestions],
    }


def _promise(job: Job, kept: Kept | None) -> dict[str, Any]:
    error_s = start_error_s(job)
    return {"promised_at": job.promised_at, "start_error_s": error_s, "kept": asdict(kept) if kept else None}


def end_answer(job: Job, sentence: str, end: End | None, kept: Kept | None) -> dict[str, Any]:
    """Of a job that does not wait."""
    return {
        "job_id": job.id,
        "word": job.word,
        "sentence": sentence,
        "nodes": [],
        "ends_at": end.at if end else None,
        **_promise(job, kept),
        "estimate": asdict(end.estimate) if end and end.estimate else None,
    }
