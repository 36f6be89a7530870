#!/usr/bin/python3
"""A made-up nvidia-smi for a lab host: the cards of its topology file, in the words of the real program."""

from __future__ import annotations

import json
import sys

CARDS: list[dict[str, str]] = json.loads("[]")
ALIASES = {"gpu_name": "name", "gpu_uuid": "uuid", "gpu_bus_id": "pci.bus_id"}
UNITS = {"memory.total": "MiB", "memory.used": "MiB", "memory.free": "MiB", "utilization.gpu": "%", "power.draw": "W"}
IDLE = {
    "count": str(len(CARDS)),
    "utilization.gpu": "0",
    "utilization.memory": "0",
    "temperature.gpu": "38",
    "power.draw": "26.50",
    "power.limit": "149.00",
    "persistence_mode": "Disabled",
    "compute_mode": "Default",
    "mig.mode.current": "[N/A]",
    "ecc.mode.current": "Enabled",
    "pci.domain": "0x0000",
    "pstate": "P8",
    "fan.speed": "[N/A]",
    "serial": "[N/A]",
    "display_active": "Disabled",
    "pcie.link.gen.current": "3",
    "pcie.link.width.current": "16",
}


def value(card: dict[str, str], field: str) -> str | None:
    """The field's value, or None where this card's driver does not know the field."""
    field = ALIASES.get(field, field)
    if field == "compute_cap" and int(card["driver_version"].split(".")[0] or 0) < 510:
        return None
    return card.get(field, IDLE.get(field))


def query(fields: list[str], form: str) -> int:
    options = form.split(",")
    unknown = [field for field in fields if value(CARDS[0], field) is None]
    if unknown:
        print(f'Field "{unknown[0]}" is not a valid field to query.\n')
        return 2
    if "noheader" not in options:
        plain = "nounits" in options
        print(", ".join(name if plain or name not in UNITS else f"{name} [{UNITS[name]}]" for name in fields))
    for card in CARDS:
        print(", ".join(measured(value(card, field), field, options) for field in fields))
    return 0


def measured(text: str | None, field: str, options: list[str]) -> str:
    return f"{text}" if "nounits" in options or field not in UNITS else f"{text} {UNITS[field]}"


def as_xml() -> int:
    first = CARDS[0]
    rows = ['<?xml version="1.0" ?>', "<nvidia_smi_log>"]
    rows += [f"\t<driver_version>{first['driver_version']}</driver_version>"]
    rows += [f"\t<attached_gpus>{len(CARDS)}</attached_gpus>"]
    for card in CARDS:
        bus = card["pci.bus_id"]
        rows += [f'\t<gpu id="{bus}">']
        rows += [f"\t\t<product_name>{card['name']}</product_name>", f"\t\t<uuid>{card['uuid']}</uuid>"]
        rows += [f"\t\t<minor_number>{card['index']}</minor_number>", "\t\t<fb_memory_usage>"]
        for name in ("total", "used", "free"):
            rows += [f"\t\t\t<{name}>{card['memory.' + name]} MiB</{name}>"]
        rows += ["\t\t</fb_memory_usage>", "\t</gpu>"]
    print("\n".join([*rows, "</nvidia_smi_log>"]))
    return 0


def main(arguments: list[str]) -> int:
    chosen = dict(argument.lstrip("-").partition("=")[::2] for argument in arguments if "=" in argument)
    if "query-gpu" in chosen:
        return query([field.strip() for field in chosen["query-gpu"].split(",")], chosen.get("format", "csv"))
    if "query-compute-apps" in chosen:
        if "noheader" not in chosen.get("format", ""):
            print(", ".join(chosen["query-compute-apps"].split(",")))
        return 0
    if "-q" in arguments and "-x" in arguments:
        return as_xml()
    for card in CARDS:
        print(f"GPU {card['index']}: {card['name']} (UUID: {card['uuid']})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
