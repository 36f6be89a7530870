"""The line on top: how the cluster is, what it costs, and whether the head answers."""

from __future__ import annotations

from rich.text import Text

from beowulf.tui.feed import State
from beowulf.views.bill import Bill
from beowulf.views.cluster import totals


def summary(state: State, bill: Bill, *, read_only: bool) -> Text:
    """``beowulf  6/7 nodes up · 1/2 GPUs busy · 1 alert: n7 is down · $1.05/h ▋      ▏ $4.10 of $50.00``."""
    if state.stale:
        return Text(f"head not reachable, retrying ({state.stale})", style="bold red", no_wrap=True)
    if not state.heard:
        return Text("asking the head …")
    found = totals(state.parts.values(), state.index.states)
    coming = "more jobs are coming …" if state.coming else ""
    said = " · ".join(filter(None, ("read only" if read_only else "", found.sentence, coming)))
    alert = (f" · {found.alert}", "bold red") if found.alert else ""
    money = f" · {bill.sentence}" if bill.sentence else ""
    return Text.assemble(("beowulf", "bold"), "  ", said, alert, money, no_wrap=True, overflow="ellipsis")
