"""The catalogue file: what machines of each provider cost → `Offer`s. And the file of one, as `update` writes it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import date

from beowulf.model.cloud import Offer
from beowulf.specs import document as doc
from beowulf.specs import gpus, words
from beowulf.specs.complaints import Complaints, Wrong
from beowulf.specs.kinds import Fields, Key, Many, Record, Word

MOST_HOURLY_USD = 1000.0


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise Wrong("is not a day (2026-09-06)") from None


def _usd(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        raise Wrong("is not an amount of US dollars (0.526)")
    if not float(text) <= MOST_HOURLY_USD:
        raise Wrong(f"is more than {MOST_HOURLY_USD:.0f} US dollars, which nobody asks")
    return float(text)


def _price(text: str) -> float:
    if not _usd(text) > 0.0:
        raise Wrong("is no price: what costs nothing is a mistake, or a trial")
    return _usd(text)


def _machine_type(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", text):
        raise Wrong("is not a machine type")
    return text


day_word = Word("a day: 2026-09-06", _day, words.TEXT)
machine_type_word = Word("g4dn.xlarge", _machine_type, words.TEXT)
_price_word = Word("US dollars an hour", _price, {"type": "number", "exclusiveMinimum": 0, "maximum": MOST_HOURLY_USD})
_egress_word = Word("US dollars per GB", _usd, {"type": "number", "minimum": 0})
_shared = (
    Key("as_of", day_word, "The day of the price."),
    Key("source", words.line, "Who said so."),
)
OFFER = Record(
    (
        Key("provider", words.name, "aws, gcp, azure, …"),
        Key("region", words.name, "As the provider names it."),
        Key("zone", words.name, "One zone of the region.", "the provider chooses"),
        Key("machine_type", machine_type_word, "As the provider names it."),
        Key("cpus", words.whole(1, 65_536), "Hardware threads."),
        Key("memory", words.memory, "Of the machine."),
        Key("accelerator", Word("T4", gpus.gpu_kind, words.TEXT), "The short name that job files use."),
        Key("accelerators", words.whole(1, 1024), "How many.", "1 where one is named"),
        Key("accelerator_memory", words.memory, "Of one."),
        Key("network_gbit", words.whole(1, 100_000), "Gigabits a second."),
        Key("price", _price_word, "On demand."),
        Key("spot_price", _price_word, "Of a machine that the provider may take back."),
        Key("egress", _egress_word, "Of what leaves the provider.", "0"),
        Key("minimum", words.duration, "What is billed at least.", "60s"),
        *_shared,
    ),
    "a machine type at a price",
)
CATALOGUE = Record(
    (
        Key("defaults", Record(_shared, "as_of, source"), "What holds for offers that do not say."),
        Key("offers", Many(OFFER, "a list of offers", single=False, most=20_000), "The machine types."),
    )
)


def parse_catalogue(text: str, *, name: str) -> tuple[Offer, ...]:
    """Raises `BadInput` with one line per complaint. That a price is too old is judged where it would be paid."""
    complaints = Complaints()
    root = doc.read_document(text, name, complaints)
    complaints.raise_if_any()
    fields = CATALOGUE.read(root, "", complaints) or Fields(root.place)
    shared: Fields = fields.get("defaults", Fields(root.place))
    offers: tuple[Fields, ...] = fields.get("offers", ())
    for one in offers:
        _check(one, shared, complaints)
    complaints.raise_if_any()
    return tuple(_offer(one, shared) for one in offers)


def _check(fields: Fields, shared: Fields, to: Complaints) -> None:
    for key in ("provider", "machine_type", "cpus", "memory", "price"):
        if key not in fields.places:
            to.add(fields.place, f"an offer needs {key}")
    for key in ("as_of", "source"):
        if key not in fields.places and key not in shared.places:
            to.add(fields.place, f"an offer needs {key}: a price without it is worth nothing")
    if fields.get("spot_price", 0.0) > fields.get("price", MOST_HOURLY_USD):
        to.add(fields.at("spot_price"), "spot_price is above price: somebody mixed them up")
    if (
        "accelerators" in fields.places or "accelerator_memory" in fields.places
    ) and "accelerator" not in fields.places:
        to.add(fields.place, "accelerators of which kind? Add 'accelerator: T4'")


def _offer(fields: Fields, shared: Fields) -> Offer:
    accelerator: str = fields.get("accelerator", "")
    return Offer(
        provider=fields.get("provider", ""),
        region=fields.get("region", ""),
        zone=fields.get("zone", ""),
        machine_type=fields.get("machine_type", ""),
        cpus=fields.get("cpus", 0),
        memory_mib=fields.get("memory", 0),
        accelerator=accelerator,
        accelerators=fields.get("accelerators", 1 if accelerator else 0),
        accelerator_memory_mib=fields.get("accelerator_memory", 0),
        network_gbit=float(fields.get("network_gbit", 0)),
        hourly_usd=fields.get("price", 0.0),
        spot_hourly_usd=fields.get("spot_price", 0.0),
        egress_usd_per_gb=fields.get("egress", 0.0),
        minimum_s=fields.get("minimum", 60.0),
        as_of=fields.get("as_of", shared.get("as_of", "")),
        source=fields.get("source", shared.get("source", "")),
    )


def catalogue_text(offers: Iterable[Offer], *, heading: str) -> str:
    """The file that `parse_catalogue` reads the same offers from; those without a price to believe are left out."""
    priced = (one for one in offers if math.isfinite(one.hourly_usd) and 0.0 < one.hourly_usd <= MOST_HOURLY_USD)
    lines = [f"  - {{{', '.join(f'{key}: {value}' for key, value in _said(one))}}}" for one in priced]
    return "\n".join([f"# {heading}", "offers:" if lines else "offers: []", *lines, ""])


def _said(offer: Offer) -> Iterable[tuple[str, str]]:
    yield "provider", offer.provider
    yield from ((key, value) for key, value in (("region", offer.region), ("zone", offer.zone)) if value)
    yield from (("machine_type", offer.machine_type), ("cpus", str(offer.cpus)), ("memory", f"{offer.memory_mib}MB"))
    if offer.accelerators:
        yield from (("accelerator", offer.accelerator), ("accelerators", str(offer.accelerators)))
        if offer.accelerator_memory_mib:
            yield "accelerator_memory", f"{offer.accelerator_memory_mib}MB"
    yield "price", _decimal(offer.hourly_usd)
    if 0.0 < offer.spot_hourly_usd <= offer.hourly_usd:
        yield "spot_price", _decimal(offer.spot_hourly_usd)
    yield from (("egress", _decimal(offer.egress_usd_per_gb)), ("as_of", offer.as_of), ("source", offer.source))


def _decimal(amount: float) -> str:
    return f"{amount:.6f}".rstrip("0").rstrip(".")
