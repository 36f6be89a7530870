"""A table of any length: only the rows that are seen are made, the cursor stays on its row while others come and go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import Click, MouseScrollDown, MouseScrollUp
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from beowulf.views import shortened

GAP = 2
MARK = "●"
PAST = "past"
TELLING = frozenset({"STATE", "EVENT"})


@dataclass(frozen=True, slots=True)
class Column:
    """``most``: characters at most; what is longer is cut. The last column shown takes what is left of the line."""

    name: str
    most: int = 24
    right: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """``keys`` in their order; a row's cells, by column, are made when it is seen, and so is the style of its state."""

    keys: Sequence[str]
    cells: Callable[[str], Sequence[str]]
    style: Callable[[str], str] = lambda key: ""


NOTHING = Rows((), lambda key: ())


class Grid(ScrollView, can_focus=True):
    DEFAULT_CSS = """
    Grid { height: 1fr; background: $background; scrollbar-size: 0 1; overflow-x: hidden; overflow-y: auto; }
    Grid > .grid--header { text-style: bold; color: $text-muted; background: $panel; }
    Grid > .grid--cursor { background: $block-cursor-blurred-background; }
    Grid:focus > .grid--cursor { background: $block-cursor-background; color: $block-cursor-foreground; }
    Grid > .grid--good { color: $text-success; }
    Grid > .grid--busy { color: $text-accent; }
    Grid > .grid--waiting { color: $text-warning; }
    Grid > .grid--bad { color: $text-error; text-style: bold; }
    Grid > .grid--past { color: $text-muted; }
    Grid > .grid--mark { color: $text-warning; text-style: bold; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "grid--header",
        "grid--cursor",
        "grid--good",
        "grid--busy",
        "grid--waiting",
        "grid--bad",
        "grid--past",
        "grid--mark",
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup,ctrl+b", "page(-1)", "Page up", show=False),
        Binding("pagedown,ctrl+f", "page(1)", "Page down", show=False),
        Binding("home,g", "edge(0)", "First row", show=False),
        Binding("end,G", "edge(1)", "Last row", show=False),
        Binding("left,h", "shift(-1)", "Columns to the left", show=False),
        Binding("right", "shift(1)", "Columns to the right", show=False),
        Binding("space", "mark", "Mark the row", show=False),
        Binding("enter", "choose", "Open", show=False),
    ]

    class Moved(Message):
        """The cursor is on another row."""

        def __init__(self, grid: Grid, key: str) -> None:
            super().__init__()
            self.grid, self.key = grid, key

        @property
        def control(self) -> Grid:
            return self.grid

    class Chosen(Moved):
        """Enter, or a second click."""

    def __init__(self, columns: Sequence[Column], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.columns = list(columns)
        self.hidden: set[str] = set()
        self.rows = NOTHING
        self.cursor = 0
        self.first = 0  # how many columns after the first are shifted out
        self.marked: set[str] = set()
        self.empty = "nothing here"
        self.sorted_by = ""
        self._widths: dict[str, int] = {}

    @property
    def selected(self) -> str:
        """The key under the cursor; ``""`` in an empty table."""
        return self.rows.keys[self.cursor] if self.cursor < len(self.rows.keys) else ""

    @property
    def meant(self) -> list[str]:
        """What an order is for: all marked rows, else the one under the cursor."""
        marked = [key for key in self.rows.keys if key in self.marked]
        return marked or ([self.selected] if self.selected else [])

    def show(self, rows: Rows) -> None:
        """The cursor stays on its key, or else where it was."""
        kept, before = self.selected, self.cursor - int(self.scroll_y)
        self.rows = rows
        self.marked &= set(rows.keys)
        if not (self.cursor < len(rows.keys) and rows.keys[self.cursor] == kept):
            self.cursor = _place(rows.keys, kept, self.cursor)
        self.virtual_size = Size(self.size.width, len(rows.keys) + 1)
        if kept and self.selected == kept:
            self.scroll_to(y=max(self.cursor - before, 0), animate=False, immediate=True)
        self._follow()
        self.refresh()
        if self.selected != kept:
            self.post_message(self.Moved(self, self.selected))

    def shown_columns(self) -> list[int]:
        """Places of the columns that fit: the first always, the others from where they are shifted to."""
        places = [place for place, column in enumerate(self.columns) if column.name not in self.hidden]
        return [*places[:1], *places[1 + self.first :]]

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y == 0:
            return self._header(width)
        at = int(self.scroll_y) + y - 1
        if at >= len(self.rows.keys):
            text = self.empty if at == 0 else ""
            return Strip([Segment(f" {text}".ljust(width)[:width], self.rich_style + self._ink("grid--past"))])
        return self._row(at, width)

    def _header(self, width: int) -> Strip:
        for key in self._seen():
            self._widen(self.rows.cells(key))
        plain = self._style("grid--header")
        parts = self._parts([self._heading(column) for column in self.columns], width - 1)
        return self._strip(" ", [(part, plain) for _, part in parts], width, plain)

    def _heading(self, column: Column) -> str:
        if column.name != self.sorted_by.lstrip("-"):
            return column.name
        return f"{column.name}{'↓' if self.sorted_by.startswith('-') else '↑'}"

    def _row(self, at: int, width: int) -> Strip:
        """The state's cell is coloured, and all of a row that is past."""
        key = self.rows.keys[at]
        named = self.rows.style(key)
        plain = self.rich_style
        coloured = plain + self._ink(f"grid--{named}") if named else plain
        plain = coloured if named == PAST else plain
        if at == self.cursor:
            plain, coloured = (style + self._style("grid--cursor") for style in (plain, coloured))
        parts = self._parts(self.rows.cells(key), width - 1)
        styled = [(part, coloured if column.name in TELLING else plain) for column, part in parts]
        return self._strip(MARK if key in self.marked else " ", styled, width, plain)

    def _strip(self, mark: str, parts: Sequence[tuple[str, Style]], width: int, plain: Style) -> Strip:
        segments = [Segment(mark, plain + self._ink("grid--mark") if mark == MARK else plain)]
        for part, style in parts:
            segments += [Segment(part, style), Segment(" " * GAP, plain)]
        return Strip(segments).adjust_cell_length(width, plain)

    def _style(self, name: str) -> Style:
        return self.get_component_rich_style(name, partial=name != "grid--header")

    def _ink(self, name: str) -> Style:
        """Without its background, which is the row's."""
        found = self._style(name)
        return Style(color=found.color, bold=found.bold)

    def _parts(self, cells: Sequence[str], width: int) -> list[tuple[Column, str]]:
        shown = self.shown_columns()
        parts = []
        for place in shown:
            column, cell = self.columns[place], cells[place] if place < len(cells) else ""
            room = self._widths.get(column.name, len(column.name)) if place != shown[-1] else width
            room = max(min(room, width), 0)
            cut = shortened(cell, room)
            parts.append((column, cut.rjust(room) if column.right and place != shown[-1] else cut.ljust(room)))
            width -= room + GAP
        return parts

    def _widen(self, cells: Sequence[str]) -> None:
        """Columns grow with what is seen and never shrink, so that nothing jumps."""
        for column, cell in zip(self.columns, cells, strict=False):
            known = max(self._widths.get(column.name, 0), len(self._heading(column)))
            self._widths[column.name] = max(known, min(len(cell), column.most))

    def _seen(self) -> Sequence[str]:
        top = int(self.scroll_y)
        return self.rows.keys[top : top + max(self.size.height - 1, 0)]

    def on_resize(self) -> None:
        self.virtual_size = Size(self.size.width, len(self.rows.keys) + 1)
        self._follow()

    def action_move(self, step: int) -> None:
        self._go(self.cursor + step)

    def action_page(self, step: int) -> None:
        self._go(self.cursor + step * max(self.size.height - 2, 1))

    def action_edge(self, end: int) -> None:
        self._go(len(self.rows.keys) if end else 0)

    def action_shift(self, step: int) -> None:
        most = max(sum(column.name not in self.hidden for column in self.columns) - 2, 0)
        self.first = min(max(self.first + step, 0), most)
        self.refresh()

    def action_mark(self) -> None:
        if self.selected:
            self.marked ^= {self.selected}
            self._go(self.cursor + 1)
            self.refresh()

    def action_choose(self) -> None:
        if self.selected:
            self.post_message(self.Chosen(self, self.selected))

    def _go(self, to: int) -> None:
        before = self.cursor
        self.cursor = min(max(to, 0), max(len(self.rows.keys) - 1, 0))
        self._follow()
        self.refresh()
        if self.cursor != before:
            self.post_message(self.Moved(self, self.selected))

    def _follow(self) -> None:
        """The cursor is always seen."""
        top, room = int(self.scroll_y), max(self.size.height - 1, 1)
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, immediate=True)
        elif self.cursor >= top + room:
            self.scroll_to(y=self.cursor - room + 1, animate=False, immediate=True)

    def on_click(self, event: Click) -> None:
        at = int(self.scroll_y) + event.y - 1
        if event.y > 0 and at < len(self.rows.keys):
            again = at == self.cursor
            self._go(at)
            if again:
                self.action_choose()

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        event.stop()
        self.action_move(3)

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        event.stop()
        self.action_move(-3)


def _place(keys: Sequence[str], kept: str, cursor: int) -> int:
    try:
        return keys.index(kept)
    except ValueError:
        return min(cursor, max(len(keys) - 1, 0))
