"""A table: one row per line, columns that grow with what is seen in them, can be hidden, shifted and sorted by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from beowulf.tui.grid import Grid
from beowulf.views import shortened

GAP = 2
LEAST_LAST = 24  # characters for the last column
MARK = "●"
PAST = "past"


@dataclass(frozen=True, slots=True)
class Column:
    """``most``: characters at most; what is longer is cut. The last column shown takes what is left of the line.

    ``ink``: a style of the grid for its cells; ``state``: that of the row.
    """

    name: str
    most: int = 24
    right: bool = False
    ink: str = ""


class Listing(Grid):
    def __init__(self, columns: Sequence[Column], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.columns = list(columns)
        self.hidden: set[str] = set()
        self.absent: frozenset[str] = frozenset()  # columns that have nothing to say here
        self.spare: Sequence[str] = ()  # columns that make way in a narrow terminal, the first one first
        self.places: list[int] = []  # of the columns as they were drawn last
        self.first = 0  # how many columns after the first are shifted out
        self.sorted_by = ""
        self._widths: dict[str, int] = {}

    def shown_columns(self) -> list[int]:
        """Places of the columns that fit: the first always, the others from where they are shifted to.

        Before anything is shifted, those of ``spare`` make way until the last one has room.
        """
        places = [place for place, column in enumerate(self.columns) if self.has(column)]
        if self.first:
            return [*places[:1], *places[1 + self.first :]]
        for name in self.spare:
            if self.size.width - sum(self._width(place) + GAP for place in places[:-1]) > LEAST_LAST:
                break
            places = [place for place in places if self.columns[place].name != name]
        return places

    def has(self, column: Column) -> bool:
        return column.name not in self.hidden and column.name not in self.absent

    def draw_header(self, width: int) -> Strip:
        for key in self._seen():
            self._widen(self.cells(key))
        self.places = self.shown_columns()
        plain = self.component("header")
        parts = self._parts([self._heading(column) for column in self.columns], width - 1)
        return _strip(Segment(" ", plain), [(part, plain) for _, part in parts], width, plain)

    def draw_line(self, line: int, width: int) -> Strip:
        """The state's cell is coloured, and all of a row that is past."""
        key = self.rows.keys[line]
        named = self.rows.style(key)
        plain = self.plain
        coloured = plain + self.ink(named) if named else plain
        plain = coloured if named == PAST else plain
        under = self.component("cursor") if line == self.cursor else Style.null()
        styled = []
        for column, part in self._parts(self.cells(key), width - 1):
            style = coloured if column.ink == "state" else plain
            if column.ink not in ("", "state") and named != PAST:
                style = plain + self.ink(column.ink)
            styled.append((part, style + under))
        marked = key in self.marked
        mark = Segment(MARK if marked else " ", plain + under + (self.ink("mark") if marked else Style.null()))
        return _strip(mark, styled, width, plain + under)

    def column_at(self, x: int) -> Column | None:
        """Whose heading is drawn there."""
        end = 1
        for column, part in self._parts([self._heading(column) for column in self.columns], self.size.width - 1):
            end += len(part) + GAP
            if x < end:
                return column
        return None

    def action_shift(self, step: int) -> None:
        most = max(sum(map(self.has, self.columns)) - 2, 0)
        self.first = min(max(self.first + step, 0), most)
        self.refresh()

    def _heading(self, column: Column) -> str:
        if column.name != self.sorted_by.lstrip("-"):
            return column.name
        return f"{column.name}{'↓' if self.sorted_by.startswith('-') else '↑'}"

    def _parts(self, cells: Sequence[str], width: int) -> list[tuple[Column, str]]:
        shown = self.places or self.shown_columns()
        parts = []
        for place in shown:
            column, cell = self.columns[place], cells[place] if place < len(cells) else ""
            room = self._width(place) if place != shown[-1] else width
            room = max(min(room, width), 0)
            cut = shortened(cell, room)
            parts.append((column, cut.rjust(room) if column.right and place != shown[-1] else cut.ljust(room)))
            width -= room + GAP
        return parts

    def _width(self, place: int) -> int:
        return self._widths.get(self.columns[place].name, len(self.columns[place].name))

    def _widen(self, cells: Sequence[str]) -> None:
        """Columns grow with what is seen and never shrink, so that nothing jumps."""
        for column, cell in zip(self.columns, cells, strict=False):
            known = max(self._widths.get(column.name, 0), len(self._heading(column)))
            self._widths[column.name] = max(known, min(len(cell), column.most))

    def _seen(self) -> Sequence[str]:
        top = int(self.scroll_y)
        return self.rows.keys[top : top + self.room]


def _strip(mark: Segment, parts: Sequence[tuple[str, Style]], width: int, plain: Style) -> Strip:
    segments = [mark]
    for part, style in parts:
        segments += [Segment(part, style), Segment(" " * GAP, plain)]
    return Strip(segments).adjust_cell_length(width, plain)
