"""How large the terminal is now, whatever a message says."""

from __future__ import annotations

from textual.driver import Driver
from textual.events import Resize
from textual.geometry import Size


def corrected(event: Resize, driver: Driver | None) -> None:
    """Textual asks for the size in the signal's handler, which the next signal may interrupt: then it tells the newer
    size first, and the screen stays as small as it was for a moment. When it is taken, it is asked for again."""
    ask = getattr(driver, "_get_terminal_size", None)  # not every driver has a terminal
    if ask is None or getattr(driver, "_in_band_window_resize", False):  # such sizes come in order
        return
    event.size = event.virtual_size = event.container_size = Size(*ask())
