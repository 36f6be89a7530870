"""One line per event."""

from __future__ import annotations

from typing import NamedTuple

from beowulf.views.amounts import clock_time
from beowulf.views.fields import Json, inner, text
from beowulf.views.text import printable

EVENT_COLUMNS = ("TIME", "EVENT", "ABOUT", "WHAT")
BAD_EVENTS = frozenset({"NodeDown", "NodeDrained", "NodeRefused", "PeersUnreachable"})
BAD_RESULTS = frozenset({"FAILED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"})


class EventRow(NamedTuple):
    """Fields in the order of `EVENT_COLUMNS`."""

    time: str
    event: str
    about: str
    what: str


def event_row(event: Json, *, utc: bool = False) -> EventRow:
    body = inner(event, "body")
    words = [text(body, name) for name in ("result", "reason", "detail", "owner", "by") if text(body, name)]
    return EventRow(
        clock_time(float(event.get("at") or 0.0), utc=utc)[-8:],
        printable(text(event, "kind")),
        printable(text(event, "job_id") or text(event, "node_id")),
        printable(" · ".join(dict.fromkeys(words))),
    )


def is_bad(event: Json) -> bool:
    """Something a person may want to look at."""
    return text(event, "kind") in BAD_EVENTS or text(inner(event, "body"), "result") in BAD_RESULTS
