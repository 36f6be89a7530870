"""The line at the bottom that is there while somebody types a filter or a command into it."""

from __future__ import annotations

from collections.abc import Sequence

from textual.suggester import SuggestFromList
from textual.widgets import Input

FILTER, COMMAND = "filter", "command"


class Prompt(Input):
    DEFAULT_CSS = """
    Prompt { display: none; padding: 0 1; }
    Prompt.open { display: block; }
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, compact=True)  # the only line it has is for what is typed
        self.asks = ""  # what it is open for; "": it is not

    def open(self, what: str, hint: str, value: str, words: Sequence[str] = ()) -> None:
        """``words``: what is offered while it is typed; → takes it."""
        self.asks, self.placeholder, self.value = what, hint, value
        self.suggester = SuggestFromList(words, case_sensitive=False) if words else None
        self.add_class("open")
        self.screen.set_focus(self)

    def close(self) -> None:
        if self.asks:
            self.asks = ""
            self.remove_class("open")
            self.clear()
