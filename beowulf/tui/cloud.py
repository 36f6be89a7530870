"""Rented machines or what is on offer, and above them what the month has cost and will."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.binding import Binding, BindingType
from textual.worker import get_current_worker

from beowulf.client.client import Client
from beowulf.model.errors import BeowulfError
from beowulf.tui.feed import State
from beowulf.tui.listing import Column
from beowulf.tui.pane import BAD, Json, Pane
from beowulf.views.bill import Bill, bill_of
from beowulf.views.machines import MACHINE_COLUMNS, OFFER_COLUMNS, machine_rows, offer_row

EVERY_S = 5.0
STYLES: Mapping[str, str] = {
    "INTENDED": "waiting",
    "BOOTING": "busy",
    "READY": "good",
    "DRAINING": "waiting",
    "TERMINATING": "waiting",
    "GONE": "past",
}
MACHINES = [
    Column(name, 60 if name == "REASON" else 28, ink="state" if name == "STATE" else "") for name in MACHINE_COLUMNS
]
OFFERS = [Column(name, 28, name not in ("SITE", "TYPE", "GPUS", "AS OF")) for name in OFFER_COLUMNS]


class CloudPane(Pane):
    """Machines come with the stream; the month's cost is asked for every few seconds, offers when looked at."""

    TITLE = "Cloud"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "screen.describe", "Describe"),
        Binding("x", "screen.give_back", "Give back"),
        Binding("v", "face", "Machines or offers"),
    ]

    def __init__(self, client: Client) -> None:
        super().__init__(MACHINES, id="cloud")
        self.bill = Bill()
        self.offering = False
        self._client = client
        self._cost: Json = {}
        self._offers: Sequence[Json] = ()
        self._asking = False

    def on_mount(self) -> None:
        self.set_interval(EVERY_S, self.ask)
        self.ask()

    def about(self, key: str) -> tuple[str, str]:
        return "", "" if self.offering else key

    def take(self, state: State, now: float) -> None:
        """Also while another view is seen: the line on top tells what is being spent."""
        self.bill = bill_of(self._cost, state.machines.values(), now)

    def update_rows(self, state: State, now: float) -> None:
        if self.offering:
            rows = {f"{place}": offer_row(offer) for place, offer in enumerate(self._offers)}
        else:
            rows = dict(zip(state.machines, machine_rows(list(state.machines.values()), now), strict=True))
        self.columns = OFFERS if self.offering else MACHINES
        self.empty = "no cloud is configured (docs/cloud.md says how to)" if self.offering else "nothing is rented"
        style = (lambda key: "") if self.offering else (lambda key: STYLES.get(rows[key][1], BAD))
        self.show(self.shown(list(rows), rows.__getitem__, style), [Text(line) for line in self.bill.lines])

    def action_face(self) -> None:
        self.offering = not self.offering
        self.sorted_by, self.words, self.first = "", "", 0
        self.marked.clear()
        self.again()
        if self.offering:
            self._ask_offers()

    def ask(self) -> None:
        if not self._asking:
            self._asking = True
            self._ask()

    @work(thread=True, group="cloud")
    def _ask(self) -> None:
        worker = get_current_worker()
        cost = self._cost
        with suppress(BeowulfError, OSError):  # the feed tells that the head is away
            cost = self._client.cost()
        if not worker.is_cancelled:
            self.app.call_from_thread(self._came, cost)

    def _came(self, cost: Json) -> None:
        self._asking = False
        self._cost = cost
        self.again()

    @work(thread=True, group="offers", exclusive=True)
    def _ask_offers(self) -> None:
        worker = get_current_worker()
        try:
            found = self._client.offers()
        except (BeowulfError, OSError):
            found = []
        if not worker.is_cancelled:
            self.app.call_from_thread(self._offered, found)

    def _offered(self, found: Sequence[Json]) -> None:
        self._offers = found
        self.again()
