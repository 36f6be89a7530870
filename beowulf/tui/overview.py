"""The main screen: the cluster's line on top, one view at a time below, brought up to date by the head's stream."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.command import Provider
from textual.events import Click
from textual.message import Message
from textual.screen import Screen
from textual.widgets import ContentSwitcher, Input, Static

from beowulf.client.client import Client
from beowulf.tui.cloud import CloudPane
from beowulf.tui.dialogs import Pairs
from beowulf.tui.events import EventsPane
from beowulf.tui.feed import Feed, Json, State
from beowulf.tui.gpus import GpusPane
from beowulf.tui.grid import Grid
from beowulf.tui.keyline import KeyLine
from beowulf.tui.keys import key_pairs
from beowulf.tui.obey import VERBS, obey
from beowulf.tui.orders import Orders
from beowulf.tui.palette import Commands
from beowulf.tui.pane import Pane, Redraw
from beowulf.tui.panes import ClusterPane, JobsPane
from beowulf.tui.prompt import COMMAND, FILTER, Prompt
from beowulf.tui.staging import StagingPane
from beowulf.tui.summary import summary
from beowulf.views import node_details, printable

PANES: tuple[type[Pane], ...] = (ClusterPane, JobsPane, GpusPane, CloudPane, StagingPane, EventsPane)
JOBS = PANES.index(JobsPane)  # where it begins
DRAW_S = 0.25  # changes are gathered so long
TICK_S = 1.0  # running times count on


@dataclass
class Told(Message):
    line: Json


@dataclass
class Unanswered(Message):
    reason: str


class Overview(Screen[None]):
    """The views and what the keys do."""

    DEFAULT_CSS = """
    Overview #summary { height: 1; padding: 0 1; background: $panel; text-wrap: nowrap; text-overflow: ellipsis; }
    Overview #views { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    Overview.-short #views, Overview.-short KeyLine { display: none; }
    Overview ContentSwitcher { height: 1fr; }
    Overview.stale ContentSwitcher { opacity: 60%; }
    """
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {Commands}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,ctrl+c", "app.quit", "Quit", key_display="q"),
        *(Binding(str(at + 1), f"view({at})", f"The {kind.TITLE} view", show=False) for at, kind in enumerate(PANES)),
        Binding("tab", "next(1)", "View", priority=True),
        Binding("shift+tab", "next(-1)", "The view before", show=False, priority=True),
        # At once: what is typed behind them is for the line they open, however fast it comes.
        Binding("slash", "filter", "Filter", key_display="/", priority=True),
        Binding("colon", "command", "Command", show=False, key_display=":", priority=True),
        Binding("n", "new", "Submit a job", show=False),
        Binding("escape", "leave", "Forget the filter and the marks", show=False),
        Binding("question_mark", "help", "Help", key_display="?"),
    ]

    def __init__(self, client: Client, feed: Feed, clock: Callable[[], float], *, read_only: bool) -> None:
        super().__init__()
        self.VERTICAL_BREAKPOINTS = [(0, "-short"), (10, "-tall")]
        self.client = client
        self.clock = clock
        self.orders: Orders = Orders(self, client, read_only=read_only)
        self.state = State()
        self.cloud = CloudPane(client)
        self.panes: list[Pane] = [ClusterPane(), JobsPane(), GpusPane(), self.cloud, StagingPane(), EventsPane(client)]
        self.pane = self.panes[JOBS]
        self._feed = feed
        self._due = False

    def compose(self) -> ComposeResult:
        yield Static(id="summary")
        yield Static(id="views")
        with ContentSwitcher(initial=self.panes[JOBS].id):
            yield from self.panes
        yield Prompt(id="line")
        yield KeyLine()

    def on_mount(self) -> None:
        self._feed.listen(self._heard)
        self.set_interval(TICK_S, self._draw_soon)
        self.action_view(JOBS)

    def on_unmount(self) -> None:
        self._feed.stop()

    def _heard(self, heard: Json | str) -> None:
        self.post_message(Unanswered(heard) if isinstance(heard, str) else Told(heard))

    @on(Told)
    def _told(self, message: Told) -> None:
        first, came = not self.state.heard, self.state.coming or bool(message.line["whole"])
        self.state.take(message.line)
        self.remove_class("stale")
        self._draw() if first else self._draw_soon()
        if self.state.coming:
            self.call_after_refresh(self._feed.go_on)
        if came and not self.state.coming:
            self.call_after_refresh(_leave_alone)

    @on(Unanswered)
    def _unanswered(self, message: Unanswered) -> None:
        self.add_class("stale")
        self.state.stale = printable(message.reason.splitlines()[0] if message.reason else "")
        self._draw_summary()

    def _draw_soon(self) -> None:
        if not self._due:
            self._due = True
            self.set_timer(DRAW_S, self._draw)

    @on(Redraw)
    def _draw(self) -> None:
        self._due = False
        self._draw_summary()
        if self.state.heard and self.pane.is_attached:
            self.pane.update_rows(self.state, self.clock())

    def _draw_summary(self) -> None:
        self.cloud.take(self.state, self.clock())
        room = self.app.size.width - 2  # within its padding
        line = summary(self.state, self.cloud.bill, room, read_only=self.orders.read_only)
        self._write("#summary", line)
        self._draw_views()

    def _write(self, place: str, line: Text) -> None:
        for found in self.query(place).results(Static):  # none while the screen is being taken down
            found.update(line, layout=False)

    @on(Grid.Marked)
    def _draw_views(self) -> None:
        line, pane = Text(no_wrap=True, overflow="ellipsis"), self.pane
        for label, one in zip(self._labels(), self.panes, strict=True):
            line.append(label, style="reverse bold" if one is pane else "dim")
        if pane.marked:
            line.append(f"  {len(pane.marked)} marked", style="bold yellow")
        if pane.words:
            line.append(f"  only: {printable(pane.words)}", style="bold yellow")
        self._write("#views", line)

    def _labels(self) -> list[str]:
        """Of the views; in a narrow terminal only the one that is seen has its name."""
        whole = [f" {at} {pane.TITLE} " for at, pane in enumerate(self.panes, 1)]
        if sum(map(len, whole)) < self.app.size.width:
            return whole
        return [label if pane is self.pane else label[:3] for label, pane in zip(whole, self.panes, strict=True)]

    def action_view(self, at: int) -> None:
        if at < len(self.panes):
            self.pane = self.panes[at]
            self.query_one(Prompt).close()
            self.query_one(ContentSwitcher).current = self.pane.id
            self.pane.focus(scroll_visible=False)
            self._draw()

    @on(Click, "#views")
    def _view_clicked(self, event: Click) -> None:
        end = 1
        for at, label in enumerate(self._labels()):
            end += len(label)
            if event.x < end:
                self.action_view(at)
                return

    def action_next(self, step: int) -> None:
        self.action_view((self.panes.index(self.pane) + step) % len(self.panes))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool:
        """A / or : that is typed into a line is a letter of it."""
        return action not in ("filter", "command") or not isinstance(self.focused, Input)

    def action_filter(self) -> None:
        self.query_one(Prompt).open(FILTER, "words to look for; enter keeps, esc clears", self.pane.words)

    def action_command(self) -> None:
        views = [pane.TITLE.casefold() for pane in self.panes]
        hint = f"{', '.join(views)}, a job or a node, {', '.join(VERBS)}"
        self.query_one(Prompt).open(COMMAND, hint, "", (*views, *VERBS, *self.state.node_names))

    @on(Prompt.Changed)
    def _typed(self, event: Prompt.Changed) -> None:
        if self.query_one(Prompt).asks == FILTER:
            self.pane.words = event.value
            self._draw()

    @on(Prompt.Submitted)
    def _entered(self, event: Prompt.Submitted) -> None:
        if self.query_one(Prompt).asks == COMMAND:
            obey(self, event.value)
        self._close_prompt()

    def _close_prompt(self) -> None:
        self.query_one(Prompt).close()
        self.pane.focus(scroll_visible=False)
        self._draw()

    def action_leave(self) -> None:
        if self.query_one(Prompt).asks != COMMAND:
            self.pane.words = ""
            self.pane.marked.clear()
        self._close_prompt()

    def action_help(self) -> None:
        self.app.push_screen(Pairs("Keys", key_pairs(self.app, self, self.pane)))

    @on(Grid.Chosen)
    def _chosen(self) -> None:
        self.action_describe()

    def action_describe(self) -> None:
        job, node = self._meant()
        if job:
            self.open_job(job)
        elif node:
            self.describe_node(node)

    def action_log(self) -> None:
        job, _ = self._meant()
        if job:
            self.open_job(job, tab="log")

    def _meant(self) -> tuple[str, str]:
        """The job, or else the node, of the row under the cursor."""
        job, node = self.pane.about(self.pane.selected)
        return (job if job in self.state.jobs else ""), node

    def _all_meant(self) -> list[tuple[str, str]]:
        return [self.pane.about(key) for key in self.pane.meant]

    def open_job(self, job_id: str, *, tab: str = "story") -> None:
        from beowulf.tui.job import (
            JobScreen,  # with its plots a tenth of a second, which the first screen need not wait for
        )

        self.app.push_screen(JobScreen(self.client, job_id, self.clock, tab=tab))

    def describe_node(self, name: str) -> None:
        self.orders.ask(
            lambda: self.client.node(name),
            lambda node: self.app.push_screen(Pairs(printable(name), node_details(node, self.clock()))),
        )

    def action_cancel(self) -> None:
        self.cancel(list(dict.fromkeys(job for job, _ in self._all_meant())))

    def cancel(self, job_ids: Sequence[str]) -> None:
        jobs = [self.state.jobs[job_id] for job_id in job_ids if job_id in self.state.jobs]
        self.orders.cancel(jobs, self.clock(), self.pane.marked.clear)

    def action_drain(self) -> None:
        self.orders.drain(sorted({node for _, node in self._all_meant()}))

    def action_resume(self) -> None:
        self.orders.resume(sorted({node for _, node in self._all_meant()}))

    def action_new(self) -> None:
        self.orders.new()

    def action_give_back(self) -> None:
        self.orders.give_back([node for _, node in self._all_meant() if node])

    def action_shell(self) -> None:
        """On the node; of a job on its first one."""
        job, node = self._meant()
        there = [node] if node else [str(name) for name in self.state.jobs[job].get("nodes") or ()] if job else []
        if there:
            self.orders.shell(there[0])


def _leave_alone() -> None:
    """Thousands of jobs stay for long: Python's collector need not look through them again and again."""
    gc.collect()
    gc.freeze()
