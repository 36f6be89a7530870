"""The list of rented machines, and what the month has cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.worker import get_current_worker

from beowulf.client.client import Client
from beowulf.model.errors import BeowulfError
from beowulf.tui.feed import State
from beowulf.tui.grid import Column
from beowulf.tui.pane import BAD, Json, Pane, Redraw
from beowulf.views.machines import MACHINE_COLUMNS, dollars, machine_rows

EVERY_S = 5.0
STYLES: Mapping[str, str] = {
    "INTENDED": "waiting",
    "BOOTING": "busy",
    "READY": "good",
    "DRAINING": "waiting",
    "TERMINATING": "waiting",
    "GONE": "past",
}
NOTHING: Mapping[str, Any] = {"machines": (), "clouds": ()}


@dataclass(frozen=True, slots=True)
class Bill:
    """US dollars."""

    hourly: float = 0.0
    spent: float = 0.0
    cap: float = 0.0
    silent: tuple[str, ...] = ()  # clouds that do not answer

    @property
    def sentence(self) -> str:
        """``$1.30/h, $4.10 of $50.00 this month``; ``""`` where nothing was ever rented."""
        parts = [f"{dollars(self.hourly)}/h"] if self.hourly else []
        if self.spent or self.hourly:
            cap = f" of {dollars(self.cap)}" if self.cap else ""
            parts.append(f"{dollars(self.spent)}{cap} this month")
        parts += [f"{name} does not answer" for name in self.silent]
        return ", ".join(parts)


class CloudPane(Pane):
    """A row per rented machine. The head is asked every few seconds: there are few."""

    TITLE = "Cloud"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "screen.describe", "Describe"),
        Binding("x", "screen.give_back", "Give back"),
    ]

    def __init__(self, client: Client) -> None:
        columns = [Column(name, 60 if name == "REASON" else 28) for name in MACHINE_COLUMNS]
        super().__init__(columns, id="cloud")
        self.empty = "nothing is rented (docs/cloud.md says how to)"
        self.bill = Bill()
        self._client = client
        self._found: Json = NOTHING
        self._asking = False

    def on_mount(self) -> None:
        self.set_interval(EVERY_S, self.ask)
        self.ask()

    def update_rows(self, state: State, now: float) -> None:
        machines = {str(machine["id"]): machine for machine in self._found["machines"]}
        rows = dict(zip(machines, machine_rows(list(machines.values()), now), strict=True))
        self.show(self.shown(list(rows), rows.__getitem__, lambda key: STYLES.get(rows[key][1], BAD)))

    def ask(self) -> None:
        if not self._asking:
            self._asking = True
            self._ask()

    @work(thread=True, group="cloud")
    def _ask(self) -> None:
        worker = get_current_worker()
        found: Json = self._found
        bill = self.bill
        try:
            found = self._client.machines()
            cost = self._client.cost()
            silent = tuple(str(one["name"]) for one in found["clouds"] if one["error"])
            hourly = sum(map(hourly_usd, found["machines"]))
            bill = Bill(hourly, float(cost["cost_usd"]), float(cost["cap_usd"] or 0.0), silent)
        except (BeowulfError, OSError):
            pass  # the feed tells that the head is away
        if not worker.is_cancelled:
            self.app.call_from_thread(self._came, found, bill)

    def _came(self, found: Json, bill: Bill) -> None:
        self._asking = False
        self._found, self.bill = found, bill
        self.screen.post_message(Redraw())


def hourly_usd(machine: Json) -> float:
    """What it is billed per hour now; 0 before the cloud named it, and when it is gone."""
    offer = machine["offer"]
    price = offer["spot_hourly_usd" if machine["market"] == "spot" else "hourly_usd"]
    return float(price) if machine["created_at"] and machine["state"] != "GONE" else 0.0
