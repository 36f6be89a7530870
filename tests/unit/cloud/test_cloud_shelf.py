"""Prices by gpuhunt's own types: what becomes of them, and what is said where it is missing."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from beowulf.burst.offers import market_of
from beowulf.cloud.shelf import from_gpuhunt, own_catalogue, read_accelerators, read_catalogue, update
from beowulf.model.errors import BadInput, BeowulfError, Unreachable
from beowulf.model.market import OWN
from beowulf.specs.settings import parse_settings

gpuhunt = pytest.importorskip("gpuhunt")


def item(**how: Any) -> Any:
    wanted = {
        "provider": "aws", "instance_name": "g4dn.xlarge", "location": "us-east-1", "price": 0.526, "cpu": 4,
        "memory": 16.0, "gpu_count": 1, "gpu_name": "T4", "gpu_memory": 16.0, "spot": False, "disk_size": None,
        "gpu_vendor": gpuhunt.AcceleratorVendor.NVIDIA,
    }  # fmt: skip
    return gpuhunt.CatalogItem(**{**wanted, **how})


def test_markets_and_zones_become_one_offer() -> None:
    items = [
        item(), item(spot=True, price=0.2), item(location="eu-west-1"), item(instance_name="spot.only", spot=True),
        item(provider="gcp", instance_name="a2-ultragpu-1g", location="us-east1-b", gpu_name="A100", gpu_memory=80.0),
        item(provider="gcp", instance_name="a2-ultragpu-1g", location="us-east1-c", gpu_name="A100", gpu_memory=80.0,
             price=0.4),
        item(instance_name="g5g.xlarge", cpu_arch=gpuhunt.CPUArchitecture.ARM),
    ]  # fmt: skip
    found = from_gpuhunt(items, {"us-east-1", "us-east1"}, {"aws": 0.09}, "2026-11-25")
    assert [(one.site, one.machine_type, one.hourly_usd, one.spot_hourly_usd, one.accelerator) for one in found] == [
        ("aws:us-east-1", "g4dn.xlarge", 0.526, 0.2, "T4"),
        ("gcp:us-east1", "a2-ultragpu-1g", 0.4, 0.0, "A100-80GB"),
    ]
    assert found[0].as_of == "2026-11-25" and found[0].source == "gpuhunt" and found[0].egress_usd_per_gb == 0.09


def test_an_update_is_kept_for_the_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpuhunt.Catalog, "load", lambda self, version=None: None)
    monkeypatch.setattr(gpuhunt.Catalog, "query", lambda self, **how: [item(price=0.777)])
    path, number = update(tmp_path, ["aws"], [])
    assert (path, number) == (own_catalogue(tmp_path), 1)
    (offer,) = read_catalogue(tmp_path)
    assert offer.hourly_usd == 0.777 and offer.egress_usd_per_gb == 0.09


def test_what_its_provider_retired_comes_back_by_no_price_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = item(provider="azure", location="eastus", instance_name="Standard_NC6s_v3", gpu_name="V100")
    monkeypatch.setattr(gpuhunt.Catalog, "load", lambda self, version=None: None)
    monkeypatch.setattr(gpuhunt.Catalog, "query", lambda self, **how: [item(), old])
    path, number = update(tmp_path, ["aws", "azure"], ["us-east-1", "eastus"])
    assert number == 1 and "NC6s_v3" not in path.read_text()
    line = "{provider: azure, region: eastus, machine_type: Standard_NC6, cpus: 6, memory: 56GB, price: 0.9}"
    path.write_text(f"defaults: {{as_of: 2026-11-01, source: me}}\noffers:\n  - {line}\n")  # somebody's own, by hand
    assert read_catalogue(tmp_path) == ()


def test_a_network_that_is_away_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """gpuhunt logs a traceback per provider, which Python prints where nobody took care of it."""

    def away(self: object, version: object = None) -> None:
        logging.getLogger("gpuhunt._internal.catalog").error("Traceback")
        raise OSError("no route")

    monkeypatch.setattr(gpuhunt.Catalog, "load", away)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own
    with pytest.raises(Unreachable, match="prices cannot be had: no route"):
        update(tmp_path, ["aws"], [])
    with pytest.raises(BadInput, match="--provider: 'awz' is not known"):
        update(tmp_path, ["awz"], [])
    assert capsys.readouterr().err == ""


def test_without_the_extra_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gpuhunt", None)
    with pytest.raises(BeowulfError, match=r"beowulf\[catalogue\]"):
        update(tmp_path, ["aws"], [])
    assert not own_catalogue(tmp_path).exists()


def test_the_planner_sees_what_the_configured_clouds_have(tmp_path: Path) -> None:
    text = """\
clouds:
  burst: {provider: aws, regions: [us-east-1]}
  gcp: {regions: [europe-west4]}
  hpc: {provider: slurm, machines: [{machine_type: gpu, cpus: 32, memory: 128GB, accelerator: A100}]}
burst: {budget: {month: 50}, idle_release: 5m}
"""
    renting = parse_settings(text, name="settings.yaml").renting
    kinds = {one.kind: one.accelerator for one in read_accelerators()}
    market = market_of(renting, read_catalogue(tmp_path), kinds)
    assert {one.site for one in market.offers} == {"burst:us-east-1", "hpc"}
    assert market.idle_s == 300.0 and market.boot_s["hpc"] < market.boot_s["burst"]
    (own,) = [one for one in market.offers if one.provider == "hpc"]
    assert (own.source, own.hourly_usd, own.accelerators, own.machine_type) == (OWN, 0.0, 1, "gpu")
