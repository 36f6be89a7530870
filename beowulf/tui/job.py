"""Everything about one job on a screen of its own: its story, its gang, its curves, its log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from rich.console import Group
from rich.table import Table as RichTable
from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.command import Provider
from textual.containers import VerticalScroll
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input, Static, TabbedContent, TabPane

from beowulf.client.client import Client
from beowulf.model.errors import BeowulfError
from beowulf.tui.curves import CurvePlot
from beowulf.tui.dialogs import Pairs
from beowulf.tui.keyline import KeyLine
from beowulf.tui.keys import key_pairs
from beowulf.tui.log import JobLog
from beowulf.tui.orders import CancelWanted
from beowulf.tui.palette import Commands
from beowulf.views import Table, job_details, printable, why_outlook, why_sentence
from beowulf.views.course import course_curves
from beowulf.views.curves import curves
from beowulf.views.gang import GANG_COLUMNS, gang_rows
from beowulf.views.jobs import attempt_nodes, newest_attempt
from beowulf.views.straggler import job_straggler

Json: TypeAlias = Mapping[str, Any]

EVERY_S = 2.0
LAST_REPORTS = 2000
TAIL_LINES = 500
TABS = ("story", "gang", "curves", "log", "use")

NOT_REPORTED = "no numbers were reported (bw.report(loss=…), or lines in $BEOWULF_REPORT)"
NOT_SEEN = "nothing was seen of its machines: the head looks at them every few seconds while it runs"


@dataclass
class Known(Message):
    """What the head answered; ``why`` only of a job that waits."""

    job: Json
    reports: Sequence[Json]
    lines: Sequence[tuple[str, str]]
    course: Json
    why: Json

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, Known)


class JobScreen(Screen[None]):
    DEFAULT_CSS = """
    JobScreen #sentence { height: auto; max-height: 3; padding: 0 1; background: $panel; }
    JobScreen TabbedContent { height: 1fr; }
    JobScreen TabPane { padding: 0 1; }
    JobScreen #search { display: none; padding: 0 1; }
    JobScreen #search.open { display: block; }
    JobScreen.-short #sentence, JobScreen.-short Tabs, JobScreen.-short KeyLine { display: none; }
    """
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {Commands}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "back", "Back", key_display="esc"),
        Binding("1", "tab('story')", "Story", show=False),
        Binding("2", "tab('gang')", "Gang", show=False),
        Binding("3", "tab('curves')", "Curves", show=False),
        Binding("4,l", "tab('log')", "Log", key_display="l"),
        Binding("5,u", "tab('use')", "Use of its machines", show=False),
        Binding("slash", "search", "Search the log", key_display="/", priority=True),
        Binding("r", "rank", "One rank"),
        Binding("y", "copy", "Copy"),
        Binding("x", "cancel", "Cancel"),
        Binding("question_mark", "help", "Help", key_display="?"),
    ]

    def __init__(self, client: Client, job_id: str, clock: Callable[[], float], *, tab: str = "story") -> None:
        super().__init__()
        self.VERTICAL_BREAKPOINTS = [(0, "-short"), (12, "-tall")]
        self.job_id = job_id
        self._client = client
        self._members: dict[str, Json] = {}  # of its gang: what they are and what was measured of them
        self._clock = clock
        self._first = tab
        self._asking = False
        self._known: Known | None = None
        self.rank = ""  # whose lines are shown; "": everybody's
        self.words = ""

    def compose(self) -> ComposeResult:
        yield Static(f"job {printable(self.job_id)} …", id="sentence")
        with TabbedContent(initial=self._first):
            with TabPane("1 Story", id="story"), VerticalScroll():
                yield Static(id="details")
            with TabPane("2 Gang", id="gang"), VerticalScroll():
                yield Static(id="ranks")
            with TabPane("3 Curves", id="curves"):
                yield CurvePlot(NOT_REPORTED, most=3, id="reported")
            with TabPane("4 Log", id="log"):
                yield JobLog(id="lines")
            with TabPane("5 Use", id="use"):
                yield CurvePlot(NOT_SEEN, most=4, id="used")
        yield Input(placeholder="words to look for; enter keeps, esc clears", id="search", compact=True)
        yield KeyLine()

    def on_mount(self) -> None:
        self.set_interval(EVERY_S, self.refresh_job)
        self.refresh_job()

    def refresh_job(self) -> None:
        # One question at a time: a head that hangs must not gather threads here.
        if not self._asking:
            self._asking = True
            self._ask()

    @work(thread=True, group="job")
    def _ask(self) -> None:
        try:
            job = self._client.job(self.job_id)
            waits = job.get("state") == "PENDING"
            reports = [] if waits else self._client.reports(self.job_id, last=LAST_REPORTS)
            lines = [] if waits else self._client.tail_logs(self.job_id, TAIL_LINES)
            course = {} if waits else self._client.course(self.job_id)
            why = self._client.why(self.job_id) if waits else {}
            for name in {*attempt_nodes(newest_attempt(job))} - set(self._members):
                self._members[name] = self._client.node(name)
            self.post_message(Known(job, reports, lines, course, why))
        except (BeowulfError, OSError) as error:
            self.app.call_from_thread(self._unanswered, str(error))

    def _unanswered(self, reason: str) -> None:
        self._asking = False
        self.query_one("#sentence", Static).update(Text(printable(reason.splitlines()[0]), style="bold red"))

    @on(Known)
    def _came(self, known: Known) -> None:
        self._asking = False
        self._known = known
        self._draw()

    def _draw(self) -> None:
        known = self._known
        if known is None:
            return
        details = job_details(known.job, known.reports, now=self._clock())
        self.query_one("#sentence", Static).update(Text("\n".join(self._sentences())))
        outlook = [Text(line) for line in why_outlook(known.why)] if known.why else []
        tables = [table for table in (details.timeline, details.attempts, details.reports) if table.rows]
        spaced = [part for table in tables for part in (Text(), _table(table))]
        self.query_one("#details", Static).update(Group(_pairs(details.facts), *outlook, *spaced))
        ranks = gang_rows(known.job, known.reports, self._members)
        table = _table(Table("Ranks", GANG_COLUMNS, tuple(ranks)), self._slow(known)[0], cut=True)
        self.query_one("#ranks", Static).update(table)
        self.query_one("#reported", CurvePlot).show(curves(known.reports))
        self.query_one("#used", CurvePlot).show(course_curves(known.course))
        self._draw_log(known)

    def _sentences(self) -> list[str]:
        """Where it stands, which rank failed first, who holds the gang back."""
        known = self._known
        if known is None:
            return []
        details = job_details(known.job, known.reports, now=self._clock())
        return [line for line in (details.sentence, details.first_failure, self._slow(known)[1]) if line]

    def _slow(self, known: Known) -> tuple[str, str]:
        """The rank that holds the gang back, and the verdict; "" and "" where none does."""
        found = job_straggler(known.job, known.reports, self._members.values())
        return (str(found.rank), found.sentence) if found else ("", "")

    def _draw_log(self, known: Known) -> None:
        lines = [line for line in known.lines if self.rank in ("", line[0])]
        if self.words:
            found = self.words.casefold()
            lines = [line for line in lines if found in line[1].casefold()]
        only = f" · rank {self.rank}" if self.rank else ""
        story = f"{why_sentence(known.job)}{only}{f' · only: {self.words}' if self.words else ''}"
        self.query_one(JobLog).show(f"{self.job_id} {self.rank} {self.words}", lines, story)

    def action_back(self) -> None:
        search = self.query_one("#search", Input)
        if search.has_class("open") or self.words:
            search.clear()
            self._close_search()
        else:
            self.dismiss()

    def action_tab(self, name: str) -> None:
        self.query_one(TabbedContent).active = name

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool:
        """A / that is typed into the line is a letter of it."""
        return action != "search" or not isinstance(self.focused, Input)

    def action_search(self) -> None:
        self.action_tab("log")
        search = self.query_one("#search", Input)
        search.add_class("open")
        self.set_focus(search)

    @on(Input.Changed, "#search")
    def _searched(self, event: Input.Changed) -> None:
        self.words = event.value
        self._draw()

    @on(Input.Submitted, "#search")
    def _close_search(self) -> None:
        self.query_one("#search", Input).remove_class("open")
        self.query_one(JobLog).focus()

    def action_rank(self) -> None:
        """The next rank's lines alone, at last everybody's again."""
        processes = sorted({process for process, _ in self._known.lines}, key=_rank_order) if self._known else []
        names = ["", *processes]
        self.rank = names[(names.index(self.rank) + 1) % len(names)] if self.rank in names else ""
        self.action_tab("log")
        self._draw()

    def action_copy(self) -> None:
        """The log's lines that are shown, without whose they are; of another tab the sentence on top."""
        log = self.query_one(JobLog)
        of_log = self.query_one(TabbedContent).active == "log"
        lines = [printable(line) for _, line in log.kept] if of_log else self._sentences()
        self.app.copy_to_clipboard("\n".join(lines))
        self.notify(f"{len(lines)} line{'s' * (len(lines) != 1)} copied")

    def action_help(self) -> None:
        self.app.push_screen(Pairs("Keys", key_pairs(self.app, self)))

    def action_cancel(self) -> None:
        self.app.post_message(CancelWanted([self.job_id]))


def _rank_order(process: str) -> tuple[bool, int, str]:
    return (not process.isdecimal(), int(process) if process.isdecimal() else 0, process)


def _pairs(facts: Sequence[tuple[str, str]]) -> RichTable:
    grid = RichTable.grid(padding=(0, 2))
    for label, value in facts:
        grid.add_row(Text(label, style="dim"), Text(value))
    return grid


def _table(table: Table, slow: str = "", *, cut: bool = False) -> RichTable | Text:
    """``slow``: the first cell of the row to point at. ``cut``: a row is a line, whose end a narrow screen cuts off."""
    if not table.rows:
        return Text()
    drawn = RichTable(title=table.title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    *others, last = table.columns
    for place, column in enumerate(others):
        least = max(len(row[place]) for row in (table.columns, *table.rows)) if cut else None
        drawn.add_column(column, header_style="dim", no_wrap=cut, min_width=least)
    drawn.add_column(last, header_style="dim", no_wrap=cut, overflow="ellipsis" if cut else "fold")
    for row in table.rows:
        drawn.add_row(*map(Text, row), style="bold red" if row[0] == slow else "")
    return drawn
