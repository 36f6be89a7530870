"""What the API asks of the running head about rented machines."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from beowulf.controller.commands import Caller, CollectMachines
from beowulf.controller.loop import Controller
from beowulf.daemon.clouds import Clouds
from beowulf.model.cloud import Machine, Offer
from beowulf.store import Store

COLLECT_S = 60.0  # the longest that a list is waited for
LOOK_S = 0.2


class CloudDesk:
    def __init__(self, controller: Controller, store: Store, clouds: Clouds) -> None:
        self._controller = controller
        self._store = store
        self._clouds = clouds

    def clouds(self) -> list[dict[str, Any]]:
        listings, orphans = self._controller.listings(), self._controller.orphans
        return [
            {
                "name": cloud.name,
                "provider": cloud.provider,
                "listed_at": listings[cloud.name].began if cloud.name in listings else 0.0,
                "error": listings[cloud.name].error if cloud.name in listings else "",
                "unwanted": orphans.get(cloud.name, 0),
            }
            for cloud in self._controller.policy.renting.clouds
        ]

    def collect(self, caller: Caller) -> list[dict[str, Any]]:
        """As `clouds`; one that did not answer in time says so as its ``error``."""
        since = self._controller.ask(CollectMachines(caller)).result(COLLECT_S)
        deadline = time.monotonic() + COLLECT_S
        while True:
            clouds = self.clouds()
            waiting = [one for one in clouds if one["listed_at"] < since and not one["error"]]
            if not waiting or time.monotonic() >= deadline:
                break
            time.sleep(LOOK_S)
        for one in waiting:
            one["error"] = f"no list came within {COLLECT_S:g} s"
        return clouds

    def offers(self) -> Sequence[Offer]:
        return self._controller.rules.market.offers

    def machines_since(self, since: float) -> list[Machine]:
        return self._store.machines(since)

    def month_cap_usd(self) -> float:
        return self._controller.policy.renting.caps.month_usd

    def check(self, name: str) -> list[dict[str, Any]]:
        return self._clouds.check(name)
