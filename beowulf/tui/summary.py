"""The line on top: how the cluster is, what it costs, and whether the head answers."""

from __future__ import annotations

from rich.text import Text

from beowulf.tui.feed import State
from beowulf.views.cluster import totals


def summary(state: State, bill: str, *, read_only: bool) -> Text:
    """``beowulf  6/7 nodes up · … · $1.05/h, $4.10 of $50.00 this month``. ``bill``: of rented machines."""
    if state.stale:
        return Text(f"head not reachable, retrying ({state.stale})", style="bold red", no_wrap=True)
    if not state.heard:
        return Text("asking the head …")
    found = totals(state.nodes.values(), (str(job.get("state")) for job in state.jobs.values()))
    said = " · ".join(filter(None, ("read only" if read_only else "", found.sentence, bill)))
    return Text.assemble(("beowulf", "bold"), "  ", said, no_wrap=True, overflow="ellipsis")
