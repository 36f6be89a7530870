"""The two questions and answers that cover the screen: cancel this job? and, which keys are there?"""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

KEYS = (
    ("q", "leave; jobs run on"),
    ("tab, shift+tab", "next, previous pane"),
    ("↑ ↓ PgUp PgDn Home End", "move in the pane"),
    ("enter, l", "log of the selected job, large; again: back"),
    ("/", "filter jobs and nodes by words; esc clears"),
    ("x", "cancel the selected job (asks first)"),
    ("r", "refresh now"),
    ("?", "this page"),
)


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


class Help(ModalScreen[None]):
    CSS = """
    Help { align: center middle; }
    Help > VerticalScroll { width: 72; max-width: 95%; height: auto; max-height: 95%; padding: 0 1; }
    Help > VerticalScroll { border: round $accent; background: $surface; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,enter", "dismiss", "Close")]

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            for key, meaning in KEYS:
                yield Static(Text.assemble((f"{key:<24}", "bold"), meaning))
