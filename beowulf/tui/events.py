"""The list of events: the last ones there were, then each as it comes."""

from __future__ import annotations

from collections import OrderedDict
from typing import ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.worker import get_current_worker

from beowulf.client.client import Client
from beowulf.model.errors import BeowulfError
from beowulf.tui.feed import State
from beowulf.tui.grid import Rows
from beowulf.tui.listing import Column
from beowulf.tui.pane import BAD, Json, Pane
from beowulf.views.events import EventRow, event_row, is_bad

KEPT = 2000
BATCH = 500


class EventsPane(Pane):
    """Newest first."""

    TITLE = "Events"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("d", "screen.describe", "Describe")]

    def __init__(self, client: Client) -> None:
        columns = [Column("TIME"), Column("EVENT", ink="state"), Column("ABOUT"), Column("WHAT", 200)]
        super().__init__(columns, id="events")
        self.empty = "nothing has happened yet"
        self._client = client
        self._events: OrderedDict[str, tuple[Json, EventRow]] = OrderedDict()
        self._after = 0
        self._asking = False

    def update_rows(self, state: State, now: float) -> None:
        if self._after == 0 and state.cursor > KEPT:
            self._after = state.cursor - KEPT
        if not self._asking and self._after < state.cursor:
            self._asking = True
            self._ask()
        self._draw()

    def about(self, key: str) -> tuple[str, str]:
        event = self._events[key][0] if key in self._events else {}
        return str(event.get("job_id") or ""), str(event.get("node_id") or "")

    @work(thread=True, group="events")
    def _ask(self) -> None:
        worker = get_current_worker()
        try:
            found = list(self._client.events(self._after, limit=BATCH))
        except (BeowulfError, OSError):
            found = []  # the feed tells that the head is away
        if not worker.is_cancelled:
            self.app.call_from_thread(self._came, found)

    def _came(self, found: list[Json]) -> None:
        self._asking = False
        for event in found:
            self._events[str(event["seq"])] = (event, event_row(event))
            self._after = max(self._after, int(event["seq"]))
        while len(self._events) > KEPT:
            self._events.popitem(last=False)
        if found:
            self._draw()

    def _draw(self) -> None:
        known = self._events
        keys = [key for key in reversed(known) if self.fits(known[key][1])]
        if self.sorted_by:
            keys = self.in_order(keys, {key: known[key][1] for key in keys})
        self.show(Rows(keys, lambda key: known[key][1], lambda key: BAD if is_bad(known[key][0]) else ""))
