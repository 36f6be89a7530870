"""The screen itself: three panes, refreshed once a second from worker threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import time
from typing import Any, ClassVar

from rich.text import Text
from textual import on, work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.message import Message
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Input, Static

from beowulf.model.errors import BeowulfError
from beowulf.tui.dialogs import Confirm, Help
from beowulf.tui.face import TopClient
from beowulf.tui.log import JobLog
from beowulf.tui.summary import summary
from beowulf.tui.tables import RowTable
from beowulf.views import JOB_COLUMNS, NODE_COLUMNS, job_rows, matches, node_rows, printable, shortened, why_sentence

REFRESH_S = 1.0
TAIL_LINES = 200
MOST_JOBS = 500  # newest; a screen is for looking, `beowulf history` for searching
LIVE_FIRST = ("RUNNING", "COMPLETING", "CONFIGURING", "PENDING")
NODE_FIELDS = ("NODE", "STATE", "CPUS", "MEM", "GPUS", "REASON")  # the rest is in `beowulf nodes show`
LONGEST_NAME = 20
PANES = ("nodes", "jobs", "log")

Json = Mapping[str, Any]


@dataclass
class Refreshed(Message):
    jobs: Sequence[Json]
    nodes: Sequence[Json]

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, Refreshed)


@dataclass
class LogRead(Message):
    job_id: str
    lines: Sequence[tuple[str, str]]


@dataclass
class Unanswered(Message):
    reason: str


class Overview(Screen[None]):
    """The three panes and what the keys do. Its CSS speaks of classes of the screen itself, hence no scope."""

    SCOPED_CSS = False
    DEFAULT_CSS = """
    #summary { height: 1; padding: 0 1; background: $panel; text-wrap: nowrap; text-overflow: ellipsis; }
    #panes { height: 1fr; layout: grid; grid-size: 1 3; grid-rows: 1fr 1fr 1fr; }
    .-wide #panes { grid-size: 2 2; grid-rows: 2fr 3fr; grid-columns: 2fr 3fr; grid-gutter: 0 1; }
    .-wide #log { column-span: 2; }
    .-short #panes, .log-only #panes { grid-size: 1 1; grid-rows: 1fr; grid-columns: 1fr; }
    .-short #panes > *, .log-only #panes > * { display: none; }
    .-short #panes > .current, .log-only #panes > #log { display: block; column-span: 1; }
    .stale #panes { opacity: 60%; }
    #filter { display: none; height: 1; border: none; padding: 0 1; }
    #filter.open { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,ctrl+c", "app.quit", "Quit", key_display="q"),
        Binding("tab", "pane(1)", "Pane", priority=True),
        Binding("shift+tab", "pane(-1)", show=False, priority=True),
        Binding("l,enter", "log", "Log", key_display="l"),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("x", "cancel", "Cancel"),
        Binding("r", "refresh", show=False),
        Binding("escape", "leave", show=False),
        Binding("question_mark", "help", "Help", key_display="?"),
    ]

    def __init__(self, client: TopClient, clock: Callable[[], float]) -> None:
        super().__init__()
        self.HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (130, "-wide")]
        self.VERTICAL_BREAKPOINTS = [(0, "-short"), (16, "-tall")]
        self.client = client
        self.clock = clock
        self.summary = Static("asking the head …", id="summary")
        self.node_table = RowTable("Nodes", NODE_FIELDS, id="nodes")
        self.job_table = RowTable("Jobs", JOB_COLUMNS, id="jobs")
        self.job_log = JobLog(id="log")
        self.filter = Input(placeholder="words to look for; enter keeps, esc clears", id="filter")
        self.seen_jobs: dict[str, Json] = {}
        self.seen_nodes: Sequence[Json] = ()
        self.words = ""
        self.asking = False
        self.asking_log = False

    def compose(self) -> ComposeResult:
        yield self.summary
        with Container(id="panes"):
            yield self.node_table
            yield self.job_table
            yield self.job_log
        yield self.filter
        yield Footer()

    def on_mount(self) -> None:
        self.action_pane(2)
        self.set_interval(REFRESH_S, self.action_refresh)
        self.action_refresh()

    def action_refresh(self) -> None:
        # One question at a time: a head that hangs must not gather threads here.
        if not self.asking:
            self.asking = True
            self._ask()

    @work(thread=True, group="refresh")
    def _ask(self) -> None:
        try:
            answer: Message = Refreshed(self.client.jobs(), self.client.nodes())
        except (BeowulfError, OSError) as error:
            answer = Unanswered(str(error))
        self.post_message(answer)

    @work(thread=True, group="log")
    def _ask_log(self, job_id: str) -> None:
        try:
            lines = self.client.logs(job_id, tail=TAIL_LINES)
        except (BeowulfError, OSError):
            lines = []  # the refresh tells whether the head is away; a job without a log has no lines
        self.post_message(LogRead(job_id, lines))

    @on(Refreshed)
    def _refreshed(self, message: Refreshed) -> None:
        self.asking = False
        self.remove_class("stale")
        self.seen_jobs = {str(job.get("id")): job for job in newest_first(message.jobs)}
        self.seen_nodes = message.nodes
        self._draw()
        self._follow_log()

    @on(Unanswered)
    def _unanswered(self, message: Unanswered) -> None:
        self.asking = False
        self.add_class("stale")
        reason = printable(message.reason.splitlines()[0] if message.reason else "")
        self._say(Text(f"head not reachable, retrying ({reason})", style="bold red"))

    @on(LogRead)
    def _log_read(self, message: LogRead) -> None:
        self.asking_log = False
        if message.job_id == self.job_table.selected:
            story = why_sentence(self.seen_jobs.get(message.job_id, {}))
            self.job_log.show(message.job_id, message.lines, story)
        else:
            self._follow_log()

    @on(DataTable.RowHighlighted, "#jobs")
    def _job_highlighted(self) -> None:
        self._follow_log()

    @on(DataTable.RowSelected, "#jobs")
    def _job_selected(self) -> None:
        self.action_log()

    def _follow_log(self) -> None:
        job_id = self.job_table.selected
        if not job_id:
            self.job_log.show("", (), "no job is selected")
        elif not self.asking_log:
            self.asking_log = True
            self._ask_log(job_id)

    def _draw(self) -> None:
        jobs, nodes = job_rows(self.seen_jobs.values(), self.clock(), group_arrays=False), node_rows(self.seen_nodes)
        self._say(summary([row.state for row in jobs], self.seen_nodes, self.words))
        found_nodes = [dict(zip(NODE_COLUMNS, row, strict=True)) for row in nodes if matches(self.words, *row)]
        self.node_table.show([tuple(row[name] for name in NODE_FIELDS) for row in found_nodes])
        found_jobs = [row for row in jobs if matches(self.words, *row)]
        self.job_table.show([row._replace(name=shortened(row.name, LONGEST_NAME)) for row in found_jobs])

    def _say(self, text: Text) -> None:
        self.summary.update(text)

    def action_pane(self, step: int) -> None:
        """To the next or previous pane; on small terminals it is also the only one shown."""
        current = next((place for place, name in enumerate(PANES) if self._pane(name).has_class("current")), -1)
        self._go(PANES[(current + step) % len(PANES)])

    def _go(self, name: str) -> None:
        for other in PANES:
            self._pane(other).set_class(other == name, "current")
        self._pane(name).focus()

    def action_log(self) -> None:
        large = not self.has_class("log-only")
        self.set_class(large, "log-only")
        self._go("log" if large else "jobs")

    def action_filter(self) -> None:
        self.filter.add_class("open")
        self.filter.focus()

    def action_leave(self) -> None:
        if self.has_class("log-only"):
            self.action_log()
            return
        self.filter.clear()
        self._close_filter()

    @on(Input.Changed, "#filter")
    def _filter_changed(self, event: Input.Changed) -> None:
        self.words = event.value
        self._draw()

    @on(Input.Submitted, "#filter")
    def _close_filter(self) -> None:
        self.filter.remove_class("open")
        self._go("jobs")

    def action_help(self) -> None:
        self.app.push_screen(Help())

    def action_cancel(self) -> None:
        job = self.seen_jobs.get(self.job_table.selected)
        if job is None:
            self.notify("no job is selected", severity="warning")
            return
        row = job_rows([job], self.clock())[0]
        where = f" on {row.nodes}" if row.nodes else ""
        question = f"Cancel job {row.id} ({row.name}) of {row.user}, {row.state}{where}?"

        def answered(yes: bool | None) -> None:
            if yes:
                self._cancel(str(job["id"]))

        self.app.push_screen(Confirm(question), answered)

    @work(thread=True, group="cancel")
    def _cancel(self, job_id: str) -> None:
        try:
            self.client.cancel(job_id)
        except (BeowulfError, OSError) as error:
            self.app.call_from_thread(self.notify, printable(error), severity="error", markup=False)
        else:
            self.app.call_from_thread(self.notify, f"job {printable(job_id)} is being cancelled", markup=False)

    def _pane(self, name: str) -> RowTable | JobLog:
        panes: dict[str, RowTable | JobLog] = {"nodes": self.node_table, "jobs": self.job_table, "log": self.job_log}
        return panes[name]


class Top(App[None]):
    TITLE = "beowulf top"
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, client: TopClient, clock: Callable[[], float] = time) -> None:
        super().__init__()
        self.animation_level = "none"  # many look from afar, through SSH
        self.overview = Overview(client, clock)

    def get_default_screen(self) -> Screen[None]:
        return self.overview


def newest_first(jobs: Sequence[Json]) -> list[Json]:
    """What runs, then what waits in the order it came, then what has ended, newest first."""

    def order(job: Json) -> tuple[int, float]:
        state = str(job.get("state", ""))
        if state in LIVE_FIRST:
            return LIVE_FIRST.index(state), float(job.get("submitted_at") or 0.0)
        return len(LIVE_FIRST), -float(job.get("ended_at") or 0.0)

    return sorted(jobs, key=order)[:MOST_JOBS]
