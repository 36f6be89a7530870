"""The table of machine types that their providers took out of service → what may not be offered any more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from beowulf.model.cloud import Offer
from beowulf.specs import words
from beowulf.specs.catalogue import day_word, machine_type_word
from beowulf.specs.kinds import Fields, Key, Many, Record
from beowulf.specs.table_file import read_entries


@dataclass(frozen=True, slots=True)
class Retired:
    """``day``: the first on which these cannot be rented, as ``"2025-10-01"``; ``source``: who said so."""

    provider: str
    day: str
    source: str
    machine_types: frozenset[str]


KEYS = ("provider", "day", "source", "machine_types")
RETIRED = Record(
    (
        Key("provider", words.name, "aws, gcp, azure, …"),
        Key("day", day_word, "The first on which they cannot be rented."),
        Key("source", words.line, "Who said so."),
        Key("machine_types", Many(machine_type_word, "machine types", single=False), "As the provider names them."),
    ),
    "machine types that are gone",
)
TABLE = Record((Key("retired", Many(RETIRED, "a list of what is gone", single=False), "What is gone."),))


def parse_retired(text: str, *, name: str) -> tuple[Retired, ...]:
    """Raises `BadInput` with one line per complaint."""
    entries = read_entries(text, TABLE, KEYS, "what is retired", name=name)
    return tuple(_retired(one) for one in entries)


def _retired(fields: Fields) -> Retired:
    provider, day, source = (fields.get(key, "") for key in KEYS[:3])
    return Retired(provider, day, source, frozenset(fields.get("machine_types", ())))


def in_service(offers: Iterable[Offer], retired: Iterable[Retired], day: str) -> tuple[Offer, ...]:
    """Those offers that can be rented on ``day`` (as in `Retired`)."""
    gone = {(one.provider, name) for one in retired if one.day <= day for name in one.machine_types}
    return tuple(offer for offer in offers if (offer.provider, offer.machine_type) not in gone)
