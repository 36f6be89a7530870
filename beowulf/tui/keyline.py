"""The bottom line: the keys that do something here. One line of text, drawn anew when they are others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual.events import Click
from textual.widget import Widget

from beowulf.tui.keys import shown

if TYPE_CHECKING:
    from textual.screen import Screen

HELP = "question_mark"


class KeyLine(Widget):
    """Textual's own footer makes a widget per key, and all of them anew whenever another view is looked at."""

    DEFAULT_CSS = """
    KeyLine { dock: bottom; height: 1; background: $panel; color: $text-muted; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._keys: list[tuple[str, str]] = []  # each with what is written of it

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def _changed(self, screen: Screen[object]) -> None:
        """The keys that are to be shown, those of what has the focus first."""
        found: dict[str, tuple[str, str]] = {}
        for active in screen.active_bindings.values():
            if active.binding.show and active.enabled:
                key = active.binding.key
                said = f" {active.binding.key_display or shown(key)} {active.binding.description} "
                found.setdefault(active.binding.action, (key, said))
        palette = self.app.COMMAND_PALETTE_BINDING
        keys = [*found.values(), (palette, f" {shown(palette)} Commands ")]
        if keys != self._keys:
            self._keys = keys
            self.refresh()

    def _fitting(self) -> list[tuple[str, str]]:
        """As many as there is room for, the help among them: it has all the others."""
        room, keys = self.size.width, list(self._keys)
        while len(keys) > 1 and sum(len(said) for _, said in keys) > room:
            del keys[-2 if keys[-1][0] == HELP else -1]
        return keys

    def render(self) -> Text:
        line = Text(no_wrap=True, overflow="ellipsis")
        for _, said in self._fitting():
            key = said.split()[0]
            line.append(f" {key}", style="bold").append(said[len(key) + 1 :])
        return line

    def on_click(self, event: Click) -> None:
        """As if the key above was pressed."""
        end = 0
        for key, said in self._fitting():
            end += len(said)
            if event.x < end:
                self.app.simulate_key(key)
                return
