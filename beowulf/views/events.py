"""One line per event."""

from __future__ import annotations

from typing import NamedTuple

from beowulf.views.amounts import clock_time
from beowulf.views.fields import Json, inner, items, number, text
from beowulf.views.hosts import compress_hosts
from beowulf.views.text import printable

EVENT_COLUMNS = ("TIME", "EVENT", "ABOUT", "WHAT")
BAD_EVENTS = frozenset({"NodeDown", "NodeDrained", "NodeRefused", "PeersUnreachable"})
BAD_RESULTS = frozenset({"FAILED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"})


class EventRow(NamedTuple):
    """Fields in the order of `EVENT_COLUMNS`."""

    time: str  # "11-25 14:05:09": an event log is read for what happened days ago, too
    event: str
    about: str
    what: str


def event_row(event: Json, *, utc: bool = False) -> EventRow:
    body = inner(event, "body")
    words = [text(body, name) for name in ("result", "reason", "detail", "owner", "by", "note") if text(body, name)]
    words = [*filter(None, (_rank(inner(body, "exit")), _place(event, body))), *words]
    return EventRow(
        clock_time(float(event.get("at") or 0.0), utc=utc)[5:],
        printable(text(event, "kind")),
        printable(text(event, "job_id") or text(event, "node_id")),
        printable(" · ".join(dict.fromkeys(words))),
    )


def _rank(end: Json) -> str:
    """``rank 2 on n3: exit code 1``, of one process that ended."""
    if not end:
        return ""
    process, signal = text(end, "process"), text(end, "signal")
    how = f"signal {signal}" if number(end, "signal") else f"exit code {text(end, 'code')}"
    return f"{f'rank {process}' if process.isdigit() else process} on {text(end, 'node')}: {how}"


def _place(event: Json, body: Json) -> str:
    """``on n3``, or all the nodes of a gang: where it happened, if the row does not say so."""
    shares = items(inner(body, "allocation"), "shares")
    nodes = [text(share, "node") for share in shares] or [text(body, "node")]
    return f"on {compress_hosts(nodes)}" if text(event, "job_id") and nodes[0] else ""


def is_bad(event: Json) -> bool:
    """Something a person may want to look at."""
    return text(event, "kind") in BAD_EVENTS or text(inner(event, "body"), "result") in BAD_RESULTS
