"""What people are told of the clouds, and which regions are listed for it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from beowulf.controller.commands import Caller, CollectMachines
from beowulf.controller.policy import Policy
from beowulf.controller.rented import Listing, ListMachines, MachinesListed
from beowulf.daemon import cloud_desk
from beowulf.daemon.cloud_desk import CloudDesk
from beowulf.daemon.clouds import Clouds
from beowulf.model.cloud import Instance, InstanceState, Machine, Market, Offer
from beowulf.model.renting import Cloud, Renting
from beowulf.model.snapshot import restore

CLOUDS = (Cloud("aws", "aws", ("us-east-1",)), Cloud("gcp", "gcp"))
OFFER = Offer("aws", "eu-west-1", "", "big", 2, 4096)


class HalfSilent:
    """One of its two clouds never answers."""

    policy = Policy(renting=Renting(clouds=CLOUDS))

    def __init__(self) -> None:
        self.orphans = Counter({"gcp": 2})

    def ask(self, command: CollectMachines) -> Future[float]:
        asked: Future[float] = Future()
        asked.set_result(100.0)
        return asked

    def listings(self) -> dict[str, Listing]:
        return {"aws": Listing(began=50.0), "gcp": Listing(began=101.0)}


def test_a_cloud_that_does_not_answer_in_time_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is no empty list."""
    monkeypatch.setattr(cloud_desk, "COLLECT_S", 0.01)
    desk = CloudDesk(HalfSilent(), None, None)  # type: ignore[arg-type]
    found = desk.collect(Caller("me", 1000, True))
    assert [(one["name"], one["error"], one["unwanted"]) for one in found] == [
        ("aws", "no list came within 0.01 s", 0),
        ("gcp", "", 2),
    ]


def test_a_region_that_was_taken_out_of_the_settings_is_listed_as_long_as_a_machine_is_there(tmp_path: Path) -> None:
    """Not listed, it would count as gone, and nobody would end it."""
    heard: list[Any] = []
    clouds = Clouds(Renting(clouds=CLOUDS), "lab", tmp_path, "ssh-ed25519 A", heard.append)

    class Provider:
        def list(self, regions: Collection[str] = ()) -> list[Instance]:
            return [Instance(f"{region}/i-1", "aws-1", "t", InstanceState.RUNNING) for region in regions]

    clouds._providers["aws"] = Provider()  # type: ignore[assignment]
    machine = Machine("aws-1", 1, "t", OFFER, Market.ON_DEMAND, "", "", 1.0, 900.0)
    here = replace(machine, id="aws-2", number=2, offer=replace(OFFER, region="us-east-1"))
    clouds.perform(ListMachines("aws"), restore([], [], [], [machine, here]))
    clouds._pool.shutdown(wait=True)
    [answer] = heard
    assert isinstance(answer, MachinesListed) and answer.began <= time.time()
    assert [one.instance_id for one in answer.instances] == ["eu-west-1/i-1", "us-east-1/i-1"]
