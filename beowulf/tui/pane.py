"""What the views of the main screen have in common: a listing that is brought up to date, filtered and sorted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

from textual.binding import Binding, BindingType
from textual.events import Click
from textual.message import Message

from beowulf.tui.feed import State
from beowulf.tui.grid import Rows
from beowulf.tui.listing import Column, Listing
from beowulf.tui.natural import DRAWN, natural
from beowulf.views import matches

Json: TypeAlias = Mapping[str, Any]

STYLES: Mapping[str, str] = {
    "RUNNING": "good",
    "COMPLETED": "past",
    "IDLE": "good",
    "MIXED": "busy",
    "ALLOCATED": "busy",
    "CONFIGURING": "busy",
    "COMPLETING": "busy",
    "PENDING": "waiting",
    "DRAINED": "waiting",
    "DRAINING": "waiting",
    "UNKNOWN": "past",
    "CANCELLED": "past",
}
BAD = "bad"  # FAILED, TIMEOUT, NODE_FAIL, OUT_OF_MEMORY, PREEMPTED, DOWN


NODE_KEYS: list[BindingType] = [
    Binding("d", "screen.describe", "Describe"),
    Binding("s", "screen.shell", "Shell"),
    Binding("D", "screen.drain", "Drain", show=False),
    Binding("R", "screen.resume", "Resume", show=False),
]


class Redraw(Message):
    """The order, the columns or the face of a pane are others now."""


class Pane(Listing):
    """``update_rows`` is called with every change while it is seen; what is not seen is not made."""

    TITLE = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "sort", "Sort by the next column", show=False),
        Binding("O", "turn", "Reverse the order", show=False),
        Binding("c", "columns", "Choose columns", show=False),
        Binding("y", "copy", "Copy the row, or all that are marked", show=False),
    ]

    def __init__(self, columns: Sequence[Column], *, id: str) -> None:
        super().__init__(columns, id=id)
        self.words = ""

    def update_rows(self, state: State, now: float) -> None:
        """Brings `show` what there is to see."""
        raise NotImplementedError

    def about(self, key: str) -> tuple[str, str]:
        """The job, or else the node, that a row is about; ``""`` for none."""
        return key, ""

    def action_sort(self) -> None:
        """By each column in turn, then as at first."""
        names = ["", *(column.name for column in self.columns if self.has(column))]
        current = self.sorted_by.lstrip("-")
        self.sorted_by = names[(names.index(current) + 1) % len(names)] if current in names else ""
        self.again()

    def action_turn(self) -> None:
        if self.sorted_by:
            self.sorted_by = self.sorted_by[1:] if self.sorted_by.startswith("-") else f"-{self.sorted_by}"
            self.again()

    def action_columns(self) -> None:
        from beowulf.tui.dialogs import ColumnPicker

        def chosen(hidden: set[str] | None) -> None:
            if hidden is not None:
                self.hidden = hidden
                self.first = 0
                self.again()

        self.app.push_screen(ColumnPicker([column.name for column in self.columns[1:]], self.hidden), chosen)

    def action_copy(self) -> None:
        """What is shown of them, without bars and frames, to the terminal's clipboard."""
        rows = [self.cells(key) for key in self.meant]
        places = self.places or self.shown_columns()
        lines = ["\t".join(row[place].translate(DRAWN).strip() for place in places) for row in rows]
        if lines:
            self.app.copy_to_clipboard("\n".join(lines))
            self.notify(f"{len(lines)} row{'s' * (len(lines) != 1)} copied")

    def on_click(self, event: Click) -> None:
        """On a heading: sort by it, and the other way round at the next."""
        column = self.column_at(event.x) if event.y == self.head - 1 else None
        if column is not None:
            self.sorted_by = f"-{column.name}" if self.sorted_by == column.name else column.name
            self.again()

    def again(self) -> None:
        self.screen.post_message(Redraw())

    def shown(self, keys: Sequence[str], cells: Callable[[str], Sequence[str]], style: Callable[[str], str]) -> Rows:
        """Filtered by the words, sorted by the column: only then are all rows made, else those that are seen."""
        if self.words or self.sorted_by:
            made = {key: cells(key) for key in keys}
            found = [key for key in keys if self.fits(made[key])]
            return Rows(self.in_order(found, made), made.__getitem__, style)
        return Rows(keys, cells, style)

    def fits(self, row: Sequence[str]) -> bool:
        """Whether what is shown of it has the words that are looked for."""
        shown = (cell for column, cell in zip(self.columns, row, strict=False) if self.has(column))
        return not self.words or matches(self.words, *shown)

    def in_order(self, keys: list[str], made: Mapping[str, Sequence[str]]) -> list[str]:
        name = self.sorted_by.lstrip("-")
        place = next((place for place, column in enumerate(self.columns) if column.name == name), None)
        if place is None:
            return keys
        return sorted(keys, key=lambda key: natural(made[key][place]), reverse=self.sorted_by.startswith("-"))


def node_of(key: str) -> str:
    """The node a row of machines or GPUs is of."""
    return key.partition(" ")[0]
