"""The small windows: is that meant? which keys are there? which columns? what is this node?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.table import Table as RichTable
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.strip import Strip
from textual.widgets import Input, SelectionList, Static

WINDOW = """
    {0} {{ align: center middle; }}
    {0} > VerticalScroll {{ width: 76; max-width: 95%; height: auto; max-height: 95%; padding: 0 1; }}
    {0} > VerticalScroll {{ border: round $accent; background: $surface; }}
"""


class Confirm(ModalScreen[bool]):
    """Dismisses with True for yes only."""

    CSS = """
    Confirm { align: center middle; }
    Confirm > Static { width: auto; max-width: 90%; height: auto; max-height: 90%; padding: 0 1; }
    Confirm > Static { border: round $warning; background: $surface; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape,q,enter", "answer(False)", "No"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self.question = question

    def compose(self) -> ComposeResult:
        yield Static(Text.assemble(self.question, "\n", ("y", "bold"), " yes   ", ("n", "bold"), " no"))

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)


class Pairs(ModalScreen[None]):
    """``(label, value)`` lines: the keys, or everything about a node."""

    CSS = WINDOW.format("Pairs")
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,enter,d", "dismiss", "Close")]

    def __init__(self, title: str, pairs: Iterable[tuple[str, str]]) -> None:
        super().__init__()
        self.heading = title
        self.pairs = list(pairs)

    def compose(self) -> ComposeResult:
        table = RichTable.grid(padding=(0, 2))
        for label, value in self.pairs:
            table.add_row(Text(label, style="bold", no_wrap=True), Text(value, overflow="fold"))
        with VerticalScroll() as scroll:
            scroll.border_title = self.heading
            yield Static(table)


class Ticks(SelectionList[str]):
    """Textual tells what is chosen by a colour alone."""

    def render_line(self, y: int) -> Strip:
        strip, at = super().render_line(y), int(self.scroll_y) + y
        if at >= self.option_count or self.get_option_at_index(at).value in self.selected:
            return strip
        left, tick, *others = strip
        return Strip([left, Segment(" ", tick.style), *others], strip.cell_length)


class ColumnPicker(ModalScreen[set[str] | None]):
    """Dismisses with the names of the columns to hide; None: as before."""

    CSS = """
    ColumnPicker { align: center middle; }
    ColumnPicker > SelectionList { width: 40; max-width: 95%; height: auto; max-height: 90%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(None)", "As before"),
        Binding("c", "keep", "Keep"),
    ]

    def __init__(self, names: Sequence[str], hidden: set[str]) -> None:
        super().__init__()
        self._names = names
        self._hidden = hidden

    def compose(self) -> ComposeResult:
        chosen = Ticks(*((name, name, name not in self._hidden) for name in self._names))
        chosen.border_title = "Columns: space, then c"
        yield chosen

    def action_keep(self) -> None:
        self.dismiss(set(self._names) - set(self.query_one(SelectionList).selected))


class Ask(ModalScreen[str]):
    """One line of text; ``""`` when it was left."""

    CSS = """
    Ask { align: center middle; }
    Ask > Input { width: 70; max-width: 95%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss('')", "Leave")]

    def __init__(self, question: str, value: str = "") -> None:
        super().__init__()
        self._question = question
        self._value = value

    def compose(self) -> ComposeResult:
        line = Input(self._value, placeholder="enter says it, esc leaves")
        line.border_title = self._question
        yield line

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip())
