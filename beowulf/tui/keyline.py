"""The bottom line: the keys that do something here. One line of text, drawn anew when they are others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual.events import Click
from textual.widget import Widget

from beowulf.tui.keys import shown

if TYPE_CHECKING:
    from textual.screen import Screen


class KeyLine(Widget):
    """Textual's own footer makes a widget per key, and all of them anew whenever another view is looked at."""

    DEFAULT_CSS = """
    KeyLine { dock: bottom; height: 1; background: $panel; color: $text-muted; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[tuple[str, str]] = []

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def _changed(self, screen: Screen[object]) -> None:
        """``(key, meaning)`` of each that is to be shown, in the order of focus."""
        found: dict[str, tuple[str, str]] = {}
        for active in screen.active_bindings.values():
            if active.binding.show and active.enabled:
                found.setdefault(active.binding.action, (active.binding.key, active.binding.description))
        pairs = [*found.values(), (self.app.COMMAND_PALETTE_BINDING, "Commands")]
        if pairs != self.pairs:
            self.pairs = pairs
            self.refresh()

    def render(self) -> Text:
        line = Text(no_wrap=True, overflow="ellipsis")
        for key, meaning in self.pairs:
            line.append(f" {shown(key)}", style="bold").append(f" {meaning} ")
        return line

    def on_click(self, event: Click) -> None:
        """As if the key above was pressed."""
        end = 0
        for key, meaning in self.pairs:
            end += len(shown(key)) + len(meaning) + 3
            if event.x < end:
                self.app.simulate_key(key)
                return
