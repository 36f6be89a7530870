"""Requests about rented machines, against a head whose store holds two of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_head import FakeHead

from beowulf.api.server import ApiServer
from beowulf.client import Client
from beowulf.controller.commands import TerminateMachine
from beowulf.model import rented
from beowulf.model.cloud import Market, Offer
from beowulf.model.errors import BadInput, NotFound

OFFER = Offer("aws", "us-east-1", "us-east-1a", "g4dn.xlarge", 4, 16384, "T4", 1, hourly_usd=3.6, as_of="2026-09-01")
AUGUST = 1_785_600_000.0  # 2026-08-01T16:00Z


@pytest.fixture
def head(tmp_path: Path) -> FakeHead:
    head = FakeHead(tmp_path)
    for number, owner in ((1, "ada"), (2, "bob")):
        money = (Market.ON_DEMAND, 3.6, "digest", 900.0, AUGUST + 2000.0)
        head.happen(
            rented.MachineIntended(AUGUST, f"aws-{number}", number, f"t{number}", OFFER, *money, "key", "7", owner)
        )
        head.happen(rented.MachineBooting(AUGUST, f"aws-{number}", f"i-{number}", AUGUST))
    head.happen(rented.MachineEnding(AUGUST + 1000.0, "aws-1", "it was idle for 600 s"))
    head.happen(rented.MachineGone(AUGUST + 1000.0, "aws-1", "it was idle for 600 s", AUGUST + 1000.0, 1.0))
    return head


@pytest.fixture
def client(head: FakeHead, tmp_path: Path) -> Iterator[Client]:
    server = ApiServer(head, tmp_path / "api.sock")
    server.start()
    try:
        with Client(tmp_path / "api.sock") as client:
            yield client
    finally:
        server.stop()


def test_machines_that_are_gone_are_shown_when_asked_for(client: Client) -> None:
    assert [one["id"] for one in client.machines()["machines"]] == ["aws-2"]
    every = client.machines(every=True)
    assert [(one["id"], one["state"]) for one in every["machines"]] == [("aws-1", "GONE"), ("aws-2", "BOOTING")]
    assert every["machines"][0]["spent_usd"] == 1.0
    assert every["machines"][1]["worst_usd"] == pytest.approx(2.0)
    assert every["clouds"] == [{"name": "aws", "provider": "aws", "listed_at": 5.0, "error": "", "unwanted": 0}]


def test_a_month_is_billed_to_the_second(client: Client) -> None:
    found = client.cost(month="2026-08", by="user")
    lines = {line["name"]: line for line in found["lines"]}
    assert (lines["ada"]["cost_usd"], lines["ada"]["seconds"], lines["ada"]["machines"]) == (1.0, 1000.0, 1)
    assert found["cap_usd"] == 50.0 and [one["name"] for one in found["clouds"]] == ["aws"]
    assert client.cost(month="2026-07")["lines"] == []
    for wrong in ({"month": "August"}, {"by": "colour"}):
        with pytest.raises(BadInput):
            client.cost(**wrong)


def test_the_stream_tells_of_machines_whenever_one_is_another(client: Client, head: FakeHead) -> None:
    lines = client.changes()
    assert [one["id"] for one in next(lines)["machines"]] == ["aws-2"]
    head.happen(rented.MachineGone(AUGUST + 1000.0, "aws-2", "it is gone", AUGUST + 1000.0, 1.0))
    assert any(line["machines"] == [] for line in lines)  # before it there may be a line of what they cost by now


def test_offers_cheapest_first(client: Client) -> None:
    assert [(one["machine_type"], one["hourly_usd"]) for one in client.offers()] == [
        ("t3.large", 0.0832),
        ("g4dn.xlarge", 0.526),
    ]


def test_terminate_collect_and_check(client: Client, head: FakeHead) -> None:
    client.terminate("aws-2", at_once=True)
    said = head.commands[-1]
    assert isinstance(said, TerminateMachine) and said.machine == "aws-2" and said.at_once
    with pytest.raises(NotFound):
        client.terminate("aws-99")
    assert [one["id"] for one in client.collect()["machines"]] == ["aws-2"]
    assert client.check_clouds()[0]["remedy"] == "aws configure"
