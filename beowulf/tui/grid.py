"""Rows of any number: only those that are seen are made, and the cursor stays on its row while others come and go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.events import Click, MouseScrollDown, MouseScrollUp
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip


@dataclass(frozen=True, slots=True)
class Rows:
    """``keys`` in their order; a row's cells, by column, are made when it is seen, and so is the style of its state."""

    keys: Sequence[str]
    cells: Callable[[str], Sequence[str]]
    style: Callable[[str], str] = lambda key: ""


NOTHING = Rows((), lambda key: ())
INKS = ("good", "busy", "waiting", "bad", "past", "mark", "note")


class Grid(ScrollView, can_focus=True):
    """``notes`` stay above the header while the rows below it are scrolled. How a line is drawn is left to others."""

    DEFAULT_CSS = """
    Grid { height: 1fr; background: $background; scrollbar-size: 0 1; overflow-x: hidden; overflow-y: auto; }
    Grid > .grid--header { text-style: bold; color: $text-muted; background: $panel; }
    Grid > .grid--cursor { background: $block-cursor-blurred-background; }
    Grid:focus > .grid--cursor { background: $block-cursor-background; color: $block-cursor-foreground; }
    Grid > .grid--good { color: $text-success; }
    Grid > .grid--busy { color: $text-primary; }
    Grid > .grid--waiting { color: $text-warning; }
    Grid > .grid--bad { color: $text-error; text-style: bold; }
    Grid > .grid--past { color: $text-muted; }
    Grid > .grid--mark { color: $text-warning; text-style: bold; }
    Grid > .grid--note { color: $text; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"grid--header", "grid--cursor", *(f"grid--{ink}" for ink in INKS)}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup,ctrl+b", "page(-1)", "Page up", show=False),
        Binding("pagedown,ctrl+f", "page(1)", "Page down", show=False),
        Binding("home,g", "edge(0)", "First row", show=False),
        Binding("end,G", "edge(1)", "Last row", show=False),
        Binding("left,h", "shift(-1)", "Left: columns, or a map's cells", show=False),
        Binding("right", "shift(1)", "Right: columns, or a map's cells", show=False),
        Binding("space", "mark", "Mark the row", show=False),
        Binding("a", "mark_all", "Mark all that are shown, or none", show=False),
        Binding("enter", "choose", "Open", show=False),
    ]

    class Chosen(Message):
        """Enter, or a second click."""

        def __init__(self, grid: Grid, key: str) -> None:
            super().__init__()
            self.grid, self.key = grid, key

        @property
        def control(self) -> Grid:
            return self.grid

    class Marked(Message):
        """Other rows are marked than before."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.rows = NOTHING
        self.cursor = 0
        self.marked: set[str] = set()
        self.notes: Sequence[Text] = ()
        self.empty = "nothing here"
        self.plain = Style.null()  # as of the last whole drawing: asking for it takes longer than drawing a line
        self._made: dict[str, Sequence[str]] = {}

    # Where the rows are. Who puts several of them on one line has other answers.

    def line_of(self, at: int) -> int:
        return at

    def line_count(self) -> int:
        return len(self.rows.keys)

    def row_at(self, line: int, x: int) -> int:
        """The place of the row that is drawn there; -1 where none is."""
        return line if 0 <= line < len(self.rows.keys) else -1

    def below(self, step: int) -> int:
        """The place of the row so many lines below the cursor."""
        return self.cursor + step

    def draw_header(self, width: int) -> Strip:
        raise NotImplementedError

    def draw_line(self, line: int, width: int) -> Strip:
        raise NotImplementedError

    @property
    def selected(self) -> str:
        """The key under the cursor; ``""`` in an empty table."""
        return self.rows.keys[self.cursor] if self.cursor < len(self.rows.keys) else ""

    @property
    def meant(self) -> list[str]:
        """What an order is for: all marked rows, else the one under the cursor."""
        marked = [key for key in self.rows.keys if key in self.marked] if self.marked else []
        return marked or ([self.selected] if self.selected else [])

    @property
    def head(self) -> int:
        """Lines above the first row."""
        return len(self.notes) + 1

    @property
    def room(self) -> int:
        """Lines for rows."""
        return max(self.size.height - self.head, 1)

    def cells(self, key: str) -> Sequence[str]:
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = self.rows.cells(key)
        return made

    def show(self, rows: Rows, notes: Sequence[Text] = ()) -> None:
        """The cursor stays on its key, or else where it was."""
        kept, before = self.selected, self.line_of(self.cursor) - int(self.scroll_y)
        self.rows, self.notes, self._made = rows, notes, {}
        if self.marked:
            self.marked &= set(rows.keys)
        if not (self.cursor < len(rows.keys) and rows.keys[self.cursor] == kept):
            self.cursor = _place(rows.keys, kept, self.cursor)
        self._measure()
        if kept and self.selected == kept:
            self.scroll_to(y=max(self.line_of(self.cursor) - before, 0), animate=False, immediate=True)
        self._follow()
        self.refresh()

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y == 0:
            self.plain = self.rich_style
        if y < len(self.notes):
            return self._note(self.notes[y], width)
        if y == len(self.notes):
            return self.draw_header(width)
        line = int(self.scroll_y) + y - self.head
        if line < self.line_count():
            return self.draw_line(line, width)
        text = self.empty if line == 0 else ""
        return Strip([Segment(f" {text}".ljust(width)[:width], self.plain + self.ink("past"))])

    def _note(self, text: Text, width: int) -> Strip:
        plain = self.plain + self.ink("note")
        parts = [
            Segment(part.text, plain + part.style if part.style else plain) for part in text.render(self.app.console)
        ]
        return Strip([Segment(" ", plain), *parts]).adjust_cell_length(width, plain)

    def component(self, name: str) -> Style:
        return self.get_component_rich_style(f"grid--{name}", partial=name != "header")

    def ink(self, name: str) -> Style:
        """Without its background, which is the row's."""
        found = self.component(name)
        return Style(color=found.color, bold=found.bold)

    def _measure(self) -> None:
        self.virtual_size = Size(self.size.width, self.line_count() + self.head)

    def on_resize(self) -> None:
        self._measure()
        self._follow()

    def action_move(self, step: int) -> None:
        self.go(self.below(step))

    def action_page(self, step: int) -> None:
        self.go(self.below(step * max(self.room - 1, 1)))

    def action_edge(self, end: int) -> None:
        self.go(len(self.rows.keys) if end else 0)

    def action_shift(self, step: int) -> None:
        raise NotImplementedError

    def action_mark(self) -> None:
        if self.selected:
            self.marked ^= {self.selected}
            self.go(self.cursor + 1)
            self.refresh()
            self.post_message(self.Marked())

    def action_mark_all(self) -> None:
        every = set(self.rows.keys)
        self.marked = set() if self.marked == every else every
        self.refresh()
        self.post_message(self.Marked())

    def action_choose(self) -> None:
        if self.selected:
            self.post_message(self.Chosen(self, self.selected))

    def go(self, to: int) -> None:
        before, top = self.cursor, self.scroll_y
        self.cursor = min(max(to, 0), max(len(self.rows.keys) - 1, 0))
        self._follow()
        if self.scroll_y != top:
            self.refresh()
        elif self.cursor != before:
            self.moved(before)

    def moved(self, before: int) -> None:
        """Only two lines look different."""
        for at in (before, self.cursor):
            self.refresh(Region(0, self.head + self.line_of(at) - int(self.scroll_y), self.size.width, 1))

    def _follow(self) -> None:
        """The cursor is always seen."""
        top, line = int(self.scroll_y), self.line_of(self.cursor)
        if line < top:
            self.scroll_to(y=line, animate=False, immediate=True)
        elif line >= top + self.room:
            self.scroll_to(y=line - self.room + 1, animate=False, immediate=True)

    def on_click(self, event: Click) -> None:
        at = self.row_at(int(self.scroll_y) + event.y - self.head, event.x) if event.y >= self.head else -1
        if at >= 0:
            again = at == self.cursor
            self.go(at)
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
