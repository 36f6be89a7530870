"""Which events are news, and what is told of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from beowulf.model.snapshot import Snapshot
from beowulf.store import StoredEvent

WORDS: Mapping[str, str] = {
    "JobSubmitted": "submitted",
    "JobPlaced": "placed",
    "NodeDown": "node_down",
    "NodeDrained": "node_drained",
    "NodeRefused": "node_drained",
    "MachineIntended": "machine_rented",
    "MachineGone": "machine_gone",
}
ENDS = frozenset({"AttemptEnded", "JobEnded"})
SCHEMA = "beowulf.news/1"


@dataclass(frozen=True, slots=True)
class News:
    word: str  # of `specs.hooks.NEWS`
    seq: int  # of its event: whoever is told twice knows by it
    title: str
    body: Mapping[str, Any]


def news_of(event: StoredEvent, snapshot: Snapshot, cluster: str) -> News | None:
    """None where it is no news. Nothing of a job's environment is told."""
    told = json.loads(event.body)
    word = WORDS.get(event.kind, "")
    if event.kind in ENDS:
        word = "requeued" if told.get("requeue") else str(told["result"]).lower()
    if not word:
        return None
    reason = str(told.get("reason") or "")
    job = snapshot.job(event.job_id) if event.job_id else None
    about = f"job {event.job_id}" if event.job_id else event.node_id or str(told.get("machine") or "")
    named = f" ({job.spec.name})" if job else ""
    body: dict[str, Any] = {
        "schema": SCHEMA,
        "cluster": cluster,
        "news": word,
        "seq": event.seq,
        "at": event.at,
        "job": event.job_id,
        "node": event.node_id,
        "reason": reason,
    }
    if job is not None:
        nodes = list(job.attempt.allocation.nodes) if job.attempt else []
        body |= {"name": job.spec.name, "user": job.owner, "nodes": nodes, "state": job.word}
    sentence = f"{about}{named}: {word.replace('_', ' ')}{f', {reason}' if reason else ''}"
    return News(word, event.seq, f"{cluster}: {sentence}", body)
