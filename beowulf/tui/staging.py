"""What travels between the head and its nodes, and jobs that wait for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType

from beowulf.tui.feed import State
from beowulf.tui.listing import Column
from beowulf.tui.pane import Pane, node_of
from beowulf.views import job_row
from beowulf.views.transfers import TRANSFER_COLUMNS, transfer_row


class StagingPane(Pane):
    """A row per transfer, then one per job that is being prepared and for which nothing travels now."""

    TITLE = "Staging"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "screen.describe", "Describe"),
        Binding("x", "screen.cancel", "Cancel"),
    ]

    def __init__(self) -> None:
        columns = [
            Column(name, 60 if name == "WHAT" else 32, ink="busy" if name == "DONE" else "")
            for name in TRANSFER_COLUMNS
        ]
        super().__init__(columns, id="staging")
        self.empty = "nothing is on its way"

    def about(self, key: str) -> tuple[str, str]:
        return node_of(key), ""

    def update_rows(self, state: State, now: float) -> None:
        table: dict[str, Sequence[str]] = {}
        for one in state.transfers:
            job = state.jobs.get(str(one["job_id"]), {})
            table[f"{one['job_id']} {one['node']}"] = transfer_row(one, job)
        moving = {str(one["job_id"]) for one in state.transfers}
        for key in state.index.in_state("CONFIGURING"):
            if key not in moving:
                row = job_row(state.jobs[key], now)
                table[key] = (row.id, row.name, row.nodes, "", "", "", row.reason or "its nodes are being prepared")
        self.show(self.shown(list(table), table.__getitem__, lambda key: ""))
