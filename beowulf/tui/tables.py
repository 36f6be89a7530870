"""The lists of nodes and jobs: tables that keep the cursor on its row while rows come, go and change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widgets import DataTable

STATE_STYLES = {
    "RUNNING": "bold green",
    "COMPLETED": "green",
    "IDLE": "green",
    "MIXED": "cyan",
    "ALLOCATED": "bold cyan",
    "CONFIGURING": "cyan",
    "COMPLETING": "cyan",
    "PENDING": "yellow",
    "DRAINED": "yellow",
    "DRAINING": "yellow",
    "CANCELLED": "dim",
    "UNKNOWN": "dim",
}
BAD_STYLE = "bold red"  # FAILED, TIMEOUT, NODE_FAIL, OUT_OF_MEMORY, PREEMPTED, DOWN


class RowTable(DataTable[Text]):
    """Rows are named by their first cell."""

    DEFAULT_CSS = """
    RowTable { height: 1fr; background: $background; border-top: solid $panel; border-title-color: $text-muted; }
    RowTable { scrollbar-size: 0 1; }
    RowTable:focus { border-top: solid $accent; border-title-color: $text; border-title-style: bold; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("home", "scroll_top", show=False),
        Binding("end", "scroll_bottom", show=False),
    ]

    def __init__(self, title: str, columns: Sequence[str], *, id: str) -> None:
        super().__init__(id=id, cursor_type="row", cell_padding=1)
        self.border_title = title
        self.headings = tuple(columns)
        self.shown: list[tuple[str, ...]] = []

    def on_mount(self) -> None:
        self.add_columns(*((heading, heading) for heading in self.headings))

    def show(self, rows: Sequence[tuple[str, ...]]) -> None:
        """Only cells that changed are drawn again, unless the order of rows changed."""
        if [row[0] for row in rows] == [row[0] for row in self.shown]:
            self._change_cells(rows)
        else:
            self._fill(rows)
        self.shown = list(rows)

    @property
    def selected(self) -> str:
        """The first cell of the row under the cursor; ``""`` in an empty table."""
        return self.shown[self.cursor_row][0] if 0 <= self.cursor_row < len(self.shown) else ""

    def _change_cells(self, rows: Sequence[tuple[str, ...]]) -> None:
        for old, new in zip(self.shown, rows, strict=True):
            for heading, before, after in zip(self.headings, old, new, strict=True):
                if before != after:
                    self.update_cell(new[0], heading, _cell(heading, after), update_width=True)

    def _fill(self, rows: Sequence[tuple[str, ...]]) -> None:
        kept, place = self.selected, self.cursor_row
        scrolled = self.scroll_y
        self.clear()
        for row in rows:
            self.add_row(*map(_cell, self.headings, row), key=row[0])
        names = [row[0] for row in rows]
        target = names.index(kept) if kept in names else min(place, len(names) - 1)
        if target >= 0:
            self.move_cursor(row=target, scroll=False)
            self.scroll_to(y=scrolled, animate=False)


def _cell(heading: str, value: str) -> Text:
    if heading == "STATE":
        return Text(value, style=STATE_STYLES.get(value, BAD_STYLE))
    # Text, not str: square brackets in a job's name are no markup
    return Text(value, style="dim" if heading == "REASON" else "", no_wrap=True)
