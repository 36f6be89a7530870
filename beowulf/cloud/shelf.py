"""Where the catalogue and the table of accelerators lie, and how the catalogue is made anew."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from beowulf.cloud.requests import shipped
from beowulf.model.cloud import Offer
from beowulf.model.errors import BadInput, BeowulfError, Unreachable
from beowulf.specs.accelerators import Kind, parse_accelerators
from beowulf.specs.catalogue import catalogue_text, parse_catalogue
from beowulf.specs.retired import Retired, in_service, parse_retired

PROVIDERS = ("aws", "azure", "gcp", "oci")


def own_catalogue(home: Path) -> Path:
    return home / "catalogue.yaml"


def read_catalogue(home: Path) -> tuple[Offer, ...]:
    """The head's own, or else the one that ships; without what its provider has retired. Raises `BadInput`."""
    own = own_catalogue(home)
    path = own if own.exists() else shipped("catalogue/prices.yaml")
    return in_service(parse_catalogue(_text(path), name=str(path)), read_retired(), _today())


def read_retired() -> tuple[Retired, ...]:
    path = shipped("catalogue/retired.yaml")
    return parse_retired(_text(path), name=str(path))


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def read_accelerators() -> tuple[Kind, ...]:
    path = shipped("catalogue/accelerators.yaml")
    return parse_accelerators(_text(path), name=str(path))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot be read: {error}", where=str(path)) from error


def update(home: Path, providers: Collection[str], regions: Collection[str]) -> tuple[Path, int]:
    """Writes the head's own catalogue from gpuhunt's → its path and the number of offers.

    Egress prices, which gpuhunt does not know, are kept from the catalogue before. Raises `BeowulfError` where the
    extra is missing, and `Unreachable` where the prices cannot be had.
    """
    try:
        gpuhunt = import_module("gpuhunt")
    except ImportError:
        raise BeowulfError("needs gpuhunt, which is not installed", hint="pip install 'beowulf[catalogue]'") from None
    strange = sorted(set(providers).difference(PROVIDERS))
    if strange:
        raise BadInput(f"{strange[0]!r} is not known ({', '.join(PROVIDERS)})", where="--provider")
    before = read_catalogue(home)
    logging.getLogger("gpuhunt").addHandler(logging.NullHandler())  # what fails is told below, in one sentence
    catalog = gpuhunt.Catalog(auto_reload=False)
    try:
        catalog.load()
        items = catalog.query(provider=sorted(providers))
    except Exception as error:  # whatever a network and somebody else's files may do
        raise Unreachable(f"gpuhunt's prices cannot be had: {error}", hint="later again; the old ones stay") from error
    today = _today()
    egress = {one.provider: one.egress_usd_per_gb for one in before}
    found = from_gpuhunt(items, regions or {one.region for one in before}, egress, today)
    offers = in_service(found, read_retired(), today)
    if not offers:
        raise BadInput("knows no machine there", where="gpuhunt", hint="--region us-east-1, as the provider names it")
    path = own_catalogue(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(catalogue_text(offers, heading=f"By `beowulf cloud catalogue update`, {today}."), encoding="utf-8")
    fresh.replace(path)
    return path, len(offers)


def from_gpuhunt(items: Iterable[Any], regions: Collection[str], egress: dict[str, float], day: str) -> list[Offer]:
    """``items``: gpuhunt's CatalogItems, one per market and zone. Of the zones of a region the cheapest counts."""
    found: dict[tuple[str, str, str], dict[bool, Any]] = {}
    for item in items:
        region = _region(item.provider, item.location)
        if region in regions and str(getattr(item.cpu_arch, "value", "x86")) == "x86":
            markets = found.setdefault((item.provider, region, item.instance_name), {})
            if item.spot not in markets or item.price < markets[item.spot].price:
                markets[item.spot] = item
    return [
        _offer(region, markets, egress.get(provider, 0.0), day)
        for (provider, region, _), markets in sorted(found.items())
        if False in markets
    ]


def _region(provider: str, location: str) -> str:
    """Google's locations are zones: ``us-east1-b``."""
    return location.rsplit("-", 1)[0] if provider == "gcp" and location.count("-") == 2 else location


def _offer(region: str, markets: dict[bool, Any], egress: float, day: str) -> Offer:
    item = markets[False]
    spot = markets[True].price if True in markets else 0.0
    return Offer(
        provider=item.provider,
        region=region,
        zone="",
        machine_type=item.instance_name,
        cpus=item.cpu,
        memory_mib=int(item.memory * 1024),
        accelerator=_kind(item.gpu_name, item.gpu_memory) if item.gpu_count else "",
        accelerators=item.gpu_count,
        accelerator_memory_mib=int((item.gpu_memory or 0) * 1024) if item.gpu_count else 0,
        hourly_usd=item.price,
        spot_hourly_usd=spot,
        egress_usd_per_gb=egress,
        as_of=day,
        source="gpuhunt",
    )


LARGER = {"A100": 40, "V100": 16}  # sold in two sizes; the larger one says so in its name


def _kind(name: str, memory_gb: float | None) -> str:
    usual = LARGER.get(name)
    return f"{name}-{memory_gb:.0f}GB" if usual and memory_gb and memory_gb > usual else name
