"""The log of one job: its last lines, following the end unless the reader scrolled up."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.events import Resize
from textual.widgets import RichLog

from beowulf.views import printable

KEPT_LINES = 2000
PROCESS_STYLES = ("cyan", "magenta", "yellow", "green", "blue", "red")

Line = tuple[str, str]


class JobLog(RichLog):
    DEFAULT_CSS = """
    JobLog { height: 1fr; background: $background; border-top: solid $panel; border-title-color: $text-muted; }
    JobLog { scrollbar-size-vertical: 1; }
    JobLog:focus { border-top: solid $accent; border-title-color: $text; border-title-style: bold; }
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(
            id=id, max_lines=KEPT_LINES, min_width=1, wrap=True, markup=False, highlight=False, auto_scroll=True
        )
        self.border_title = "Log"
        self.job_id = ""
        self.kept: list[Line] = []

    def show(self, job_id: str, lines: Sequence[Line], story: str) -> None:
        """``story``: where the job stands. Lines known already are not written again."""
        self.border_title = Text(f"Log · {printable(story)}").markup
        fresh = unseen(self.kept, list(lines)) if job_id == self.job_id else None
        self.job_id = job_id
        if fresh is None:
            self.kept = []
            self.clear()
            fresh = list(lines)
        self.kept = [*self.kept, *fresh][-KEPT_LINES:]
        self._append(fresh)
        if not self.kept:
            self.clear()
            self.write(Text("no output", style="dim"))

    def on_resize(self, event: Resize) -> None:
        if self.kept:
            self.clear()
            self._append(self.kept)

    def _append(self, lines: Sequence[Line]) -> None:
        follow = self.is_vertical_scroll_end
        for process, line in lines:
            style = PROCESS_STYLES[int(process) % len(PROCESS_STYLES)] if process.isdecimal() else "bold"
            self.write(Text.assemble((f"{printable(process)}│ ", style), printable(line)), scroll_end=follow)


def unseen(known: list[Line], lines: list[Line]) -> list[Line] | None:
    """What of ``lines`` comes after ``known``; None when the two have nothing in common, so all must be drawn again."""
    if not known:
        return None
    for start in range(max(len(known) - len(lines), 0), len(known)):
        overlap = len(known) - start
        if known[start:] == lines[:overlap]:
            return lines[overlap:]
    return None
