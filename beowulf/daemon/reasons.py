"""What the scheduler found about a job that waits, as the API answers it."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from beowulf.model.job import Job, JobState
from beowulf.scheduler import Comparison, End, Explanation, Kept, Row, start_error_s
from beowulf.specs.hosts import compress_hosts

OFFERS_SHOWN = 8


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
        "burst": found.burst,
        "suggestions": [one.words for one in found.suggestions],
    }


def standing(job: Job) -> str:
    """Of a job that nothing holds up and nothing befell."""
    if job.state is JobState.CONFIGURING:
        return "its nodes are being prepared"
    if job.state is JobState.RUNNING and job.attempts:
        return f"on {compress_hosts(share.node for share in job.attempts[-1].allocation.shares)}"
    if job.state is JobState.COMPLETING:
        return "its nodes are being cleared"
    return f"by {job.cancelled_by}" if job.cancelled_by else "all of its ranks ended well"


def burst_answer(found: Comparison | None) -> dict[str, Any]:
    """Here, the best offers and the chosen one side by side; empty where nothing is on offer. Times: None where nobody
    knows. ``more``: how many offers were left out."""
    if found is None:
        return {}
    best, others = found.rows[:OFFERS_SHOWN], found.rows[OFFERS_SHOWN:]
    chosen = tuple(row for row in others if row.quote == found.choice)
    shown = (*best[: OFFERS_SHOWN - len(chosen)], *chosen)
    return {
        "sentence": found.sentence,
        "deadline": _known(found.deadline_at),
        "here": {"start": _known(found.here_start), "end": _known(found.here_end)},
        "offers": [_offer(row, row.quote == found.choice) for row in shown],
        "more": len(found.rows) - len(shown),
    }


def _offer(row: Row, chosen: bool) -> dict[str, Any]:
    quote, offer = row.quote, row.quote.offer
    return {
        "site": offer.site,
        "machine_type": offer.machine_type,
        "accelerator": offer.accelerator,
        "accelerators": offer.accelerators,
        "market": quote.market,
        "count": quote.count,
        "beside": len(quote.beside),
        "start": _known(quote.start_at),
        "end": _known(quote.end_at),
        "cost_usd": _known(quote.cost_usd),
        "egress_usd": _known(quote.egress_usd),
        "as_of": offer.as_of,
        "source": offer.source,
        "chosen": chosen,
        "but": row.but,
    }


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


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
