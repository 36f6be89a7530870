"""A gang over two sites, step by step: what it is told, and what ends it. Frames and answers are written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from beowulf.controller import gang, inputs, stretching
from beowulf.controller.draft import Draft, OpenWays, Send, StopStaging, WayBroken, WaysOpened
from beowulf.controller.policy import Policy
from beowulf.controller.volatile import Volatile
from beowulf.model import event as ev
from beowulf.model import rented
from beowulf.model.allocation import Allocation, RankSlot, Share
from beowulf.model.apply import apply
from beowulf.model.cloud import Market, Offer
from beowulf.model.job import Burst, Communication, JobSpec, Launcher, Result
from beowulf.model.node import Endpoint, Facts, LineSpeed
from beowulf.model.snapshot import Snapshot

NODES = ("n1", "n2", "aws-1", "aws-2")
OFFER = Offer("aws", "us-east-1", "", "c5.large", 2, 4096, hourly_usd=0.085, as_of="2026-09-06", source="test")
SPEC = JobSpec(
    "digits",
    "python train.py",
    launcher=Launcher.TORCHRUN,
    min_nodes=4,
    max_nodes=4,
    max_duration_s=3600.0,
    steps=3200,
    communication=Communication("local-sgd"),
    burst=Burst("auto", stretch=True, model_mib=1),
)
GOOD, SLOW = LineSpeed("n1", 12.0, 40.0), LineSpeed("n1", 0.001, 40.0)


def history() -> Snapshot:
    snapshot = Snapshot()
    for number, name in enumerate(("aws-1", "aws-2"), start=1):
        intended = rented.MachineIntended(
            1.0, name, number, "t", OFFER, Market.ON_DEMAND, 0.085, "p", 900.0, 9e9, "", "1", beside=("n1", "n2")
        )
        snapshot = apply(snapshot, intended)
    for name in NODES:
        site = "lab" if name[0] == "n" else OFFER.site
        snapshot = apply(snapshot, ev.NodeAdded(2.0, name, Endpoint(f"{name}.example"), "key", site=site))
        snapshot = apply(snapshot, ev.NodeUp(2.0, name, f"/home/u/{name}", Facts(cpus=(0, 1), memory_mib=4096)))
    return apply(snapshot, ev.JobSubmitted(3.0, "1", 1, SPEC, "ada", 1000))


@pytest.fixture
def draft() -> Draft:
    """The gang is placed and prepared; every node reaches what it was asked to."""
    made = Draft(history(), Volatile(links=set(NODES)), Policy(), 10.0)
    shares = tuple(Share(name, (RankSlot(rank, 0, (0,)),)) for rank, name in enumerate(NODES))
    gang.place(made, "1", Allocation(shares))
    for name in NODES:
        gang.on_prepared(made, name, {"attempt": "1.1", "port": 4000})
    for name in NODES:
        gang.on_reached(made, name, {"attempt": "1.1", "failed": []})
    return made


def sent(draft: Draft, kind: str) -> dict[str, dict[str, Any]]:
    found = [action for action in draft.actions if isinstance(action, Send) and action.header["type"] == kind]
    return {action.node: dict(action.header) for action in found}


def opened(draft: Draft, line: LineSpeed | None = GOOD, error: str = "") -> None:
    ports = {} if error else {"aws-1": 5001, "aws-2": 5002}
    inputs.handle(draft, WaysOpened("1.1", ports, "aws-1", line, error), [])


def ending(draft: Draft) -> tuple[Result | None, str]:
    attempt = draft.snapshot.jobs["1"].attempt
    assert attempt is not None
    return attempt.ending, attempt.reason


def test_peers_are_looked_for_within_a_site_and_a_way_is_asked_for_between_them(draft: Draft) -> None:
    targets = {name: [one["node"] for one in header["targets"]] for name, header in sent(draft, "reach").items()}
    assert targets == {"n1": ["n2"], "n2": ["n1"], "aws-1": ["aws-2"], "aws-2": ["aws-1"]}
    assert draft.actions[-1] == OpenWays("1.1", "n1", 4000, ("aws-1", "aws-2"))
    assert not sent(draft, "start")


def test_ranks_elsewhere_find_rank_0_on_their_own_loopback(draft: Draft) -> None:
    opened(draft)
    starts = sent(draft, "start")
    met = {name: starts[name]["processes"][0]["env"] for name in NODES}
    assert [(met[name]["MASTER_ADDR"], met[name]["MASTER_PORT"]) for name in NODES] == [
        ("n1.example", "4000"),
        ("n1.example", "4000"),
        ("127.0.0.1", "5001"),
        ("127.0.0.1", "5002"),
    ]
    assert {env["BEOWULF_SITES"] for env in met.values()} == {"0,0,1,1"}
    assert starts["aws-1"]["peers"] == ("aws-2.example",) and starts["n2"]["peers"] == ("n1.example",)
    assert draft.snapshot.nodes["aws-1"].profile.links == (GOOD,), "the next decision goes by what was measured"
    assert draft.snapshot.nodes["aws-1"].profile.measured_at == 0.0, "nobody ran `nodes bench` there"


@pytest.mark.parametrize(
    ("line", "error", "said"),
    [
        (SLOW, "", "it would wait "),
        (None, "no port of aws-1 can be forwarded", "its sites do not reach each other: no"),
    ],
)
def test_without_a_way_that_is_fast_enough_it_is_queued_again_at_no_cost(
    draft: Draft, line: LineSpeed | None, error: str, said: str
) -> None:
    opened(draft, line, error)
    result, reason = ending(draft)
    assert result is Result.RESIZED and reason.startswith(f"not stretched over two sites: {said}")
    assert not sent(draft, "start") and set(sent(draft, "kill")) == set(NODES)
    for name in NODES:
        gang.on_cleared(draft, name, {"attempt": "1.1", "reason": "killed"})
    job = draft.snapshot.jobs["1"]
    assert job.word == "PENDING" and job.retries == 0


def test_a_way_that_breaks_ends_the_gang_as_a_lost_node_does(draft: Draft) -> None:
    opened(draft)
    inputs.handle(draft, WayBroken("1.1", "the way from the head to aws-2 broke"), [])
    assert ending(draft) == (Result.NODE_FAIL, "the way from the head to aws-2 broke")
    assert StopStaging("1.1") in draft.actions, "which closes the ways"
    inputs.handle(draft, WayBroken("1.1", "and another"), [])
    assert ending(draft)[1] == "the way from the head to aws-2 broke"


def test_a_head_that_was_away_has_cut_it_in_two(draft: Draft) -> None:
    opened(draft)
    again = Draft(draft.snapshot, Volatile(), Policy(), 20.0)
    stretching.after_restart(again)
    assert ending(again) == (Result.NODE_FAIL, "the head was away, through which its sites reach each other")


def test_ways_that_come_too_late_change_nothing(draft: Draft) -> None:
    gang.end(draft, draft.snapshot.jobs["1"], gang.Verdict(Result.CANCELLED, "cancelled by ada"))
    before = len(draft.events)
    opened(draft)
    assert len(draft.events) == before and not sent(draft, "start")
