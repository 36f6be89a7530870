"""The line on top: how the cluster is, what it costs, and whether the head answers."""

from __future__ import annotations

from rich.text import Text

from beowulf.tui.feed import State
from beowulf.views.bill import Bill
from beowulf.views.cluster import Totals, totals

ALERT = "bold red"


def summary(state: State, bill: Bill, width: int, *, read_only: bool) -> Text:
    """``beowulf  6/7 nodes up · 1/2 GPUs busy · 1 alert: n7 is down · $1.05/h ▋      ▏ $4.10 of $50.00``.

    In fewer words where ``width`` characters do not hold them, and what is amiss first where they hold but a few.
    """
    if state.stale:
        return Text(f"head not reachable, retrying ({state.stale})", style=ALERT, no_wrap=True)
    if not state.heard:
        return Text("asking the head …")
    found = totals(state.parts.values(), state.index.states)
    first, last = "read only" if read_only else "", "more jobs are coming …" if state.coming else ""
    forms = (
        _line(f"beowulf  {first}".strip(), found.sentence, last, found.alert, bill.sentence),
        _line(first, found.sentence, last, found.alert, bill.in_brief),
        _line(first, found.in_brief, last, _first_alert(found), bill.in_brief),
        _line("", found.in_brief, last, _first_alert(found), bill.in_part),
    )
    least = _line("", "", "", _first_alert(found), "").append(" · " if found.alerts else "").append(found.in_brief)
    return next((form for form in forms if form.cell_len <= width), least)


def _line(first: str, sentence: str, last: str, alert: str, money: str) -> Text:
    parts = [(first, "bold"), (sentence, ""), (last, ""), (alert, ALERT), (money, "")]
    line = Text(no_wrap=True, overflow="ellipsis")
    for said, style in parts:
        if said:
            line.append(_between(line, first)).append(said, style)
    return line


def _between(line: Text, first: str) -> str:
    return "" if not line.plain else "  " if line.plain == first == "beowulf" else " · "


def _first_alert(found: Totals) -> str:
    """``n7 is down``; ``n7 is down and 2 more``."""
    many = len(found.alerts)
    return f"{found.alerts[0]}{f' and {many - 1} more' if many > 1 else ''}" if many else ""
