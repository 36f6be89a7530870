"""What the views of the main screen have in common: a grid that is brought up to date, filtered and sorted."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

from textual.binding import Binding, BindingType
from textual.message import Message

from beowulf.tui.feed import State
from beowulf.tui.grid import Column, Grid, Rows
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
DIGITS = "0123456789"
BAD = "bad"  # FAILED, TIMEOUT, NODE_FAIL, OUT_OF_MEMORY, PREEMPTED, DOWN


class Redraw(Message):
    """The order or the columns of a pane are others now."""


class Pane(Grid):
    """``update`` is called with every change; what is not seen is not made."""

    TITLE = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "sort", "Sort by the next column", show=False),
        Binding("O", "turn", "Turn the order", show=False),
        Binding("c", "columns", "Choose columns", show=False),
    ]

    def __init__(self, columns: Sequence[Column], *, id: str) -> None:
        super().__init__(columns, id=id)
        self.words = ""

    def update_rows(self, state: State, now: float) -> None:
        """Brings `show` what there is to see."""
        raise NotImplementedError

    def action_sort(self) -> None:
        """By each column in turn, then as at first."""
        names = ["", *(column.name for column in self.columns if column.name not in self.hidden)]
        current = self.sorted_by.lstrip("-")
        self.sorted_by = names[(names.index(current) + 1) % len(names)] if current in names else ""
        self._again()

    def action_turn(self) -> None:
        if self.sorted_by:
            self.sorted_by = self.sorted_by[1:] if self.sorted_by.startswith("-") else f"-{self.sorted_by}"
            self._again()

    def action_columns(self) -> None:
        from beowulf.tui.dialogs import ColumnPicker

        def chosen(hidden: set[str] | None) -> None:
            if hidden is not None:
                self.hidden = hidden
                self.first = 0
                self._again()

        self.app.push_screen(ColumnPicker([column.name for column in self.columns[1:]], self.hidden), chosen)

    def _again(self) -> None:
        self.screen.post_message(Redraw())

    def shown(self, keys: Sequence[str], cells: Callable[[str], Sequence[str]], style: Callable[[str], str]) -> Rows:
        """Filtered by the words, sorted by the column: only then are all rows made, else those that are seen."""
        if self.words or self.sorted_by:
            made = {key: cells(key) for key in keys}
            found = [key for key in keys if not self.words or matches(self.words, *made[key])]
            return Rows(self.in_order(found, made), made.__getitem__, style)
        return Rows(keys, cells, style)

    def in_order(self, keys: list[str], made: Mapping[str, Sequence[str]]) -> list[str]:
        name = self.sorted_by.lstrip("-")
        if not name:
            return keys
        place = next(place for place, column in enumerate(self.columns) if column.name == name)
        return sorted(keys, key=lambda key: natural(made[key][place]), reverse=self.sorted_by.startswith("-"))


def natural(text: str) -> list[tuple[int, int, str]]:
    """``n2`` before ``n10``: runs of digits count as numbers."""
    parts = (part for part in re.split(r"([0-9]+)", text.casefold()) if part)
    return [(0, int(part), "") if part[0] in DIGITS else (1, 0, part) for part in parts]
