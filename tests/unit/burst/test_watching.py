"""What the head learns of spot from what happened to its own machines."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from beowulf.burst.watching import spot_seen
from beowulf.model import rented
from beowulf.model.apply import apply
from beowulf.model.cloud import Machine, Market, Offer
from beowulf.model.market import SpotSeen, place_of
from beowulf.model.snapshot import Snapshot

NOW = 1_800_000_000.0
OFFER = Offer("sim", "r", "a", "big", 2, 4096, hourly_usd=3.6, spot_hourly_usd=1.2, as_of="2027-01-10")
PLACE = place_of(OFFER)


def intended(number: int, at: float, market: Market = Market.SPOT) -> rented.MachineIntended:
    name = f"sim-{number}"
    return rented.MachineIntended(at, name, number, "t", OFFER, market, 1.2, "d", 900.0, at + 1e6, "key", "7", "ada")


def after(*events: rented.MachineEvent) -> Snapshot:
    snapshot = Snapshot()
    for event in events:
        snapshot = apply(snapshot, event)
    return snapshot


def seen(now: float, *events: rented.MachineEvent) -> SpotSeen:
    return spot_seen(after(*events).machines.values(), now).get(PLACE, SpotSeen())


def test_a_reclaim_and_an_answer_that_there_are_none_are_remembered() -> None:
    events = [
        intended(1, NOW),
        rented.MachineBooting(NOW + 10, "sim-1", "i-1", NOW),
        rented.MachineReady(NOW + 60, "sim-1"),
        rented.ReclaimNoticed(NOW + 1000, "sim-1", NOW + 1120),
        rented.MachineEnding(NOW + 1110, "sim-1", "it is taken back"),
        rented.MachineGone(NOW + 1130, "sim-1", "it is taken back", NOW + 1120, 0.4),
        intended(2, NOW + 1140),
        rented.MachineGone(NOW + 1150, "sim-2", "none", NOW + 1150, 0.0, 0.0, sold_out=True),
    ]
    assert seen(NOW + 500, *events[:3]) == SpotSeen(500.0, 500.0, 500.0, 0)
    assert seen(NOW + 1200, *events) == SpotSeen(1110.0 + 50.0, 1110.0, 1110.0, 1)
    assert seen(NOW + 9000, *events) == SpotSeen(1110.0 + 300.0, 1110.0, 1110.0, 1)  # nobody looked after that
    later = [intended(3, NOW + 1170), rented.MachineBooting(NOW + 1171, "sim-3", "i-3", NOW + 1170)]
    assert seen(NOW + 1270, *events, *later) == SpotSeen(1110.0 + 20.0 + 100.0, 1210.0, 1210.0, 1)


def test_only_who_is_ended_by_the_provider_was_taken_back() -> None:
    begin = [intended(1, NOW), rented.MachineBooting(NOW, "sim-1", "i-1", NOW), rented.MachineReady(NOW, "sim-1")]
    gone = rented.MachineGone(NOW + 100, "sim-1", "gone", NOW + 100, 0.1)
    assert seen(NOW + 200, *begin, gone).reclaims == 1
    assert seen(NOW + 200, *begin, rented.MachineEnding(NOW + 90, "sim-1", "idle"), gone).reclaims == 0
    forgotten = replace(gone, gone_at=NOW + 1e6)  # its lease ran out while no head was there
    assert seen(NOW + 2e6, *begin, forgotten).reclaims == 0


def test_machines_at_full_price_tell_nothing_of_spot() -> None:
    events = [intended(1, NOW, Market.ON_DEMAND), rented.MachineBooting(NOW, "sim-1", "i-1", NOW)]
    assert spot_seen(after(*events).machines.values(), NOW + 100) == {}


@st.composite
def machines(draw: st.DrawFn) -> list[Machine]:
    found, at = [], NOW
    for number in range(1, draw(st.integers(1, 6)) + 1):
        at += draw(st.floats(0, 2000))
        sold_out = draw(st.booleans())
        end = at + draw(st.floats(0, 5000))
        plain = Machine(f"sim-{number}", number, "t", OFFER, Market.SPOT, "7", "", at, 900.0, lease_until=1e12)
        alive = replace(plain, created_at=at, gone_at=draw(st.sampled_from([0.0, end])))
        found.append(replace(plain, gone_at=at + 1.0, sold_out=True) if sold_out else alive)
    return found


@given(machines(), st.floats(0, 20_000))
def test_no_moment_counts_twice_and_the_order_does_not_matter(known: list[Machine], later: float) -> None:
    now = NOW + later
    found = spot_seen(known, now)[PLACE]
    assert 0.0 <= found.there_s <= found.watched_s + 1e-6
    assert found.watched_s <= max(0.0, later) + 1e-6
    assert found.there_s <= found.up_s + 1e-6
    assert spot_seen(list(reversed(known)), now) == {PLACE: found}
