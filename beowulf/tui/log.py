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
        self.kept: list[Line] = []
        self._what = ""
        self._tails: dict[str, list[str]] = {}  # what was known of each process

    def show(self, what: str, lines: Sequence[Line], story: str) -> None:
        """``what``: whose lines these are, and which of them: of others all are drawn anew, of the same what came since
        is written below the rest, whichever rank it is of. ``story``: where the job stands."""
        self.border_title = Text(f"Log · {printable(story)}").markup
        if what != self._what:
            self._what, self.kept, self._tails = what, [], {}
            self.clear()
        fresh = self._fresh(lines)
        if not self.kept:
            self.clear()
        self.kept = [*self.kept, *fresh][-KEPT_LINES:]
        self._append(fresh[-KEPT_LINES:])
        if not self.kept:
            self.write(Text("no output", style="dim"))

    def _fresh(self, lines: Sequence[Line]) -> list[Line]:
        told: dict[str, list[str]] = {}
        for process, line in lines:
            told.setdefault(process, []).append(line)
        known, self._tails = self._tails, told
        return [(process, line) for process in told for line in unseen(known.get(process, []), told[process])]

    def on_resize(self, event: Resize) -> None:
        if self.kept:
            self.clear()
            self._append(self.kept)

    def _append(self, lines: Sequence[Line]) -> None:
        follow = self.is_vertical_scroll_end
        for process, line in lines:
            style = PROCESS_STYLES[int(process) % len(PROCESS_STYLES)] if process.isdecimal() else "bold"
            self.write(Text.assemble((f"{printable(process)}│ ", style), printable(line)), scroll_end=follow)


def unseen(known: Sequence[str], lines: Sequence[str]) -> Sequence[str]:
    """What of ``lines`` comes after ``known``; all of them when the two have nothing in common.

    The last line of ``known`` may have gone on since: a bar of progress, or half a line. Then it is told again.
    """
    for start in range(max(len(known) - len(lines), 0), len(known)):
        whole = len(known) - start - 1
        if known[start:-1] == lines[:whole]:
            return lines[whole + (known[-1] == lines[whole]) :]
    return lines
